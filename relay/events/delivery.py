"""Mail goes out: outcomes, drains and connections, and reports to senders."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from prometheus_client import Counter

from relay.events.metrics import counter, few, gauge, log
from relay.mail import Reply

_outcomes = counter("outcomes_total", "What became of recipients handed to a primary", "appliance", "outcome")
_delivery_connections = gauge("delivery_connections", "Connections to a primary", "appliance")
_quarantine_over = counter("quarantine_dropped_total", "Recipients dropped after their time in quarantine")
_connection_failures = counter("connection_failures_total", "Connections that broke or weren't taken", "appliance")
_pushed_back = counter("pressed_less_total", "Times that a primary got fewer connections, for its sake", "appliance")
_reports = counter("reports_total", "Reports to senders, by what became of them", "outcome")
_reports_waiting = gauge("reports_waiting", "Reports that wait to be sent")


@lru_cache(maxsize=1024)  # to find it takes longer than to count
def _deliveries(appliance: str) -> Counter:
    return _outcomes.labels(appliance, "delivered")


def delivered(appliance: str, message: int, recipient: str, reply: Reply) -> None:
    _deliveries(appliance).inc()
    log.info("delivered", appliance=appliance, id=message, recipient=recipient, reply=str(reply))


def deferred(appliance: str, message: int, recipient: str, reply: Reply, next_attempt_at: str) -> None:
    _outcomes.labels(appliance, "deferred").inc()
    log.info(
        "deferred",
        appliance=appliance,
        id=message,
        recipient=recipient,
        reply=str(reply),
        next_attempt_at=next_attempt_at,
    )


def held(appliance: str, message: int, recipient: str, reason: str, reply: Reply) -> None:
    _outcomes.labels(appliance, "held").inc()
    log.warning("held", appliance=appliance, id=message, recipient=recipient, reason=reason, reply=str(reply))


def bounced(appliance: str, message: int, recipient: str, reply: str) -> None:
    """It has failed for good; ``reply`` says whether its sender is told."""
    _outcomes.labels(appliance, "bounced").inc()
    log.warning("bounced", appliance=appliance, id=message, recipient=recipient, reply=reply)


def expired(appliance: str, message: int, recipient: str, reply: str) -> None:
    """The same, for age."""
    _outcomes.labels(appliance, "expired").inc()
    log.warning("expired", appliance=appliance, id=message, recipient=recipient, reply=reply)


def quarantined(appliance: str, message: int, recipient: str, evidence: str, reply: str) -> None:
    """It has failed, or expired, and nobody is told, for want of a sender who exists."""
    _outcomes.labels(appliance, "quarantined").inc()
    log.warning("quarantined", appliance=appliance, id=message, recipient=recipient, evidence=evidence, reply=reply)


def quarantine_over(message: int, recipient: str) -> None:
    """What nobody released is dropped."""
    _quarantine_over.inc()
    log.warning("dropped after its time in quarantine", id=message, recipient=recipient)


def judged_later(appliance: str, message: int, sender: str, evidence: str) -> None:
    """Who vouches for the sender can't be known now."""
    _outcomes.labels(appliance, "judged_later").inc()
    log.info("judged later", appliance=appliance, id=message, sender=sender, evidence=evidence)


def outcome_unknown(appliance: str, message: int) -> None:
    """The connection was lost between the final dot and its reply (RFC 1047): a duplicate is possible."""
    _outcomes.labels(appliance, "unknown").inc()
    log.warning("outcome unknown, will be tried again", appliance=appliance, id=message)


def died_sending(messages: int) -> None:
    """The process before this one died while it was sending; the messages are watched from now on."""
    log.warning("died while sending, a message that repeats it is held", messages=messages)


def drain_began(appliance: str, waiting: int) -> None:
    log.info("drain began", appliance=appliance, waiting=waiting)


def drain_paused(appliance: str, reason: str) -> None:
    log.warning("drain paused", appliance=appliance, reason=reason)


def drain_ended(appliance: str, tried: int, seconds: float) -> None:
    log.info("drain ended", appliance=appliance, tried=tried, seconds=round(seconds, 1))


def ramp(appliance: str, connections: int) -> None:
    _delivery_connections.labels(appliance).set(connections)


def pressed_less(appliance: str, primary: str, before: int, after: int, reason: str) -> None:
    """A primary gets fewer connections, because it pushed back or became slow."""
    _pushed_back.labels(appliance).inc()
    log.warning("pressed less", appliance=appliance, primary=primary, before=before, after=after, reason=reason)


def connection_failed(appliance: str, primary: str, reason: str) -> None:
    """A connection of a drain couldn't be had, or broke; what wasn't answered on it is tried again."""
    _connection_failures.labels(appliance).inc()
    log.warning("connection failed", appliance=appliance, primary=primary, reason=reason)


def extension_left_unused(appliance: str, primary: str, extension: str, reason: str) -> None:
    """A primary offers what it can't do; its mail goes without that for a while."""
    log.warning("extension left unused", appliance=appliance, primary=primary, extension=extension, reason=reason)


def breaker_tripped(appliance: str, reason: str) -> None:
    log.warning("breaker tripped, the drain stops", appliance=appliance, reason=reason)


def breaker_released(appliance: str, by: str) -> None:
    log.info("breaker released", appliance=appliance, by=by)


def report_made(appliance: str, message: int, to: str, kind: str, about: Sequence[str]) -> None:
    """It is on disk, and what it says is true; ``kind``: failed or delayed."""
    _reports.labels("made").inc()
    log.info("report made", appliance=appliance, id=message, to=to, kind=kind, about=few(about))


def report_sent(report: int, message: int, to: str, reply: str) -> None:
    _reports.labels("sent").inc()
    log.info("report sent", report=report, id=message, to=to, reply=reply)


def report_deferred(report: int, message: int, to: str, reply: str, next_attempt_at: str) -> None:
    _reports.labels("deferred").inc()
    log.info("report deferred", report=report, id=message, to=to, reply=reply, next_attempt_at=next_attempt_at)


def report_dropped(report: int, message: int, to: str, reply: str) -> None:
    """It was refused for good, or has become too old; nobody is told of that."""
    _reports.labels("dropped").inc()
    log.warning("report dropped", report=report, id=message, to=to, reply=reply)


def reports_waiting(count: int) -> None:
    _reports_waiting.set(count)
