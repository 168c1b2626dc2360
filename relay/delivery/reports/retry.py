"""What an attempt to send a report means for it. Pure.

Taken: done. Refused for good: dropped, for there is nobody to report that to. Else tried again after minutes, more
each time, for five days.
"""

from __future__ import annotations

from dataclasses import dataclass

from relay.delivery.outcome import JITTER
from relay.mail import Reply
from relay.queue.reports import Report

MINUTES = (2, 5, 10, 20, 30, 60, 120)
"""After the first, second … attempt; the last one from then on."""
LIFETIME = 5 * 86400.0
"""Seconds from its making after which a report is no longer tried."""


@dataclass(frozen=True, slots=True)
class Sent:
    """It was taken."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """It is given up."""

    why: str


@dataclass(frozen=True, slots=True)
class Again:
    """It is tried again at ``at``."""

    at: float


def after_attempt(report: Report, reply: Reply, now: float, chance: float, *, settling: bool) -> Sent | Dropped | Again:
    """``chance``: a random number in [0, 1); ``settling``: the clock is in doubt, so that nothing is too old."""
    if reply.positive:
        return Sent()
    if reply.permanent:
        return Dropped("refused for good")
    again = now + MINUTES[min(report.attempts, len(MINUTES) - 1)] * 60.0 * (1 + JITTER * chance)
    if again > report.created_at + LIFETIME and not settling:
        return Dropped("tried for five days")
    return Again(again)
