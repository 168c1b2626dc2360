"""Mail comes in."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from prometheus_client import Counter

from relay.events.metrics import FEW_DOMAINS, counter, few, gauge, log
from relay.mail import Reply

_accepted = counter("accepted_total", "Recipients accepted", "domain")
_accepted_bytes = counter("accepted_bytes_total", "Content bytes accepted")
_refused = counter("refused_total", "Commands refused at the edge", "domain", "reason")
_connections = gauge("connections", "SMTP sessions open")
_arriving = gauge("arriving_bytes", "Bytes held of messages that are on their way in")
_blocklists = counter("dnsbl_lookups_total", "Addresses asked of lists, by what came of it", "zone", "result")


def sessions(count: int, arriving: int) -> None:
    """How many are open, and how many bytes of content they hold."""
    _connections.set(count)
    _arriving.set(arriving)


@lru_cache(maxsize=1024)  # to find it takes longer than to count
def _accepted_of(domain: str) -> Counter:
    return _accepted.labels(domain)


def accepted(message: int, sender: str, recipients: dict[str, int], size: int, client: str) -> None:
    """A message is on disk; ``recipients``: how many for each domain."""
    for domain, count in recipients.items():
        _accepted_of(domain).inc(count)
    _accepted_bytes.inc(size)
    count, names = sum(recipients.values()), list(recipients)[:FEW_DOMAINS]
    log.info("accepted", id=message, domains=names, sender=sender, recipients=count, size=size, client=client)


def refused(reason: str, reply: Reply, *, client: str, domains: Sequence[str] = (), detail: str = "") -> None:
    """The edge said no; ``reason`` is one of a few fixed words (it is a label). ``domains``: the Gold domains that it
    is about; each counts it."""
    for domain in domains or ("",):
        _refused.labels(domain, reason).inc()
    log.info("refused", reason=reason, reply=str(reply), client=client, domain=few(domains), detail=detail)


def asked_for(domain: str, client: str) -> None:
    """ETRN: a primary, or who may speak for it, asks for its mail."""
    log.info("asked for its mail", domain=domain, client=client)


def blocklist_asked(zone: str, result: str) -> None:
    """``result``: clear, listed, refused, failed; without a zone late or busy: taken before there was an answer."""
    _blocklists.labels(zone, result).inc()


def blocklist_left_alone(zone: str, reason: str) -> None:
    """A list gives no answers, or none for us: for a while nobody is kept away by it."""
    log.warning("block list is left alone", zone=zone, reason=reason)
