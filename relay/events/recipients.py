"""Who exists, as primaries and directories say."""

from __future__ import annotations

from relay.events.metrics import counter, log

_recipients_asked = counter("recipients_asked_total", "Recipients that primaries were asked about", "answer")
_syncs = counter("syncs_total", "Syncs of recipients with the customers' directories", "appliance", "result")


def recipient_asked(answer: str) -> None:
    """``answer``: accepted, rejected, unclear or silent."""
    _recipients_asked.labels(answer).inc()


def wildcard(domain: str, accepts_all: bool) -> None:
    """A primary was found to accept addresses that can't exist, or not to do so any more."""
    text = "the primary accepts any address" if accepts_all else "the primary no longer accepts any address"
    log.warning(text, domain=domain)


def synced(appliance: str, addresses: int, added: int, removed: int) -> None:
    _syncs.labels(appliance, "ok").inc()
    log.info("recipients synced", appliance=appliance, addresses=addresses, added=added, removed=removed)


def sync_failed(appliance: str, evidence: str) -> None:
    """The directory didn't answer in full, or would take too much off the list; the list stays."""
    _syncs.labels(appliance, "failed").inc()
    log.warning("sync of recipients failed", appliance=appliance, evidence=evidence)
