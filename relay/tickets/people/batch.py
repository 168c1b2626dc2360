"""What goes out together. Pure.

News goes out thing by thing, as it happens. What has waited, for the hours to begin, for somebody who couldn't be
reached or for a node, goes as one message: of what has meanwhile ended nobody wants to hear more than that. Two clocks
that reach their mark at the same moment are one message too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from relay.tickets.people.rules import Happening

STALE = 900.0
"""Seconds after which what happened is news no more."""
_MARKS = {Happening.WARNING_50, Happening.WARNING_75, Happening.BREACH}


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that somebody is to be told; see the table in relay.tickets.people.tables."""

    id: int
    ticket_id: int
    target: str
    kind: str
    facts: Mapping[str, Any]
    created_at: float
    due_at: float
    batch: int | None
    attempts: int
    next_attempt_at: float
    last_error: str | None


def batch_of(waiting: Sequence[Notice], now: float) -> tuple[Notice, ...]:
    """The next message of those that wait for one ticket and target, in order; none while it isn't time."""
    begun = tuple(notice for notice in waiting if notice.batch is not None)
    if begun:  # when a process died: the same again, and nothing else
        return begun if begun[0].next_attempt_at <= now else ()
    due = [notice for notice in waiting if notice.due_at <= now]
    first = waiting[0]
    if not due or (first.attempts and first.next_attempt_at > now):
        return ()
    if first.attempts or first.due_at > first.created_at or now - first.created_at > STALE:
        return tuple(waiting)
    together = [notice for notice in waiting if notice.kind == first.kind and notice.created_at == first.created_at]
    return tuple(together) if first.kind in _MARKS else (first,)
