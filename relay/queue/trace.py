"""What became of a message: read from its own rows while it is here, and from its trace for 30 days after it left.

There is no index by sender or recipient, which every message would pay for; a search reads through the tables, newest
first, in steps.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Table, and_, exists, func, select

from relay.db import Database
from relay.mail import NULL_SENDER
from relay.queue.filter import WINDOW
from relay.queue.states import Reason, State
from relay.queue.tables import PLACES, messages, recipients
from relay.queue.tables import trace as trace_table


@dataclass(frozen=True, slots=True)
class TracedRecipient:
    """One recipient's state and last reply; ``at``: its last attempt, None before the first; ``next_attempt_at``: of
    one that waits because it was deferred."""

    address: str
    domain: str
    state: State
    reason: Reason | None
    attempts: int
    at: float | None
    reply: str
    next_attempt_at: float | None = None


@dataclass(frozen=True, slots=True)
class Traced:
    """A message; ``removed_at``: when it left, None while it is here. ``size``: bytes of the content as it came."""

    id: int
    appliance_id: int
    sender: str
    message_id: str
    size: int
    received_at: float
    removed_at: float | None
    client_ip: str
    client_helo: str
    recipients: tuple[TracedRecipient, ...]


def trace(
    db: Database,
    *,
    sender: str | None = None,
    recipient: str | None = None,
    message_id: str | None = None,
    id: int | None = None,
    limit: int = 100,
) -> list[Traced]:
    """Messages of which all that is given holds, newest first, ``limit`` at most.

    Addresses are compared without case, a Message-ID with or without its brackets; ``<>`` is the null sender.
    """
    sender = NULL_SENDER if sender == "<>" else sender
    found = [*_here(db, sender, recipient, message_id, id, limit), *_gone(db, sender, recipient, message_id, id, limit)]
    return sorted(found, key=lambda traced: traced.id, reverse=True)[:limit]


def _here(
    db: Database, sender: str | None, recipient: str | None, message_id: str | None, id: int | None, limit: int
) -> list[Traced]:
    conditions = _conditions(messages, sender, message_id, id)
    if recipient is not None:
        conditions.append(
            exists().where(
                recipients.c.id >= messages.c.id * PLACES,
                recipients.c.id < (messages.c.id + 1) * PLACES,
                func.lower(recipients.c.address) == recipient.lower(),
            )
        )
    found = []
    for row in _search(db, messages, conditions, limit):
        with db.read() as connection:
            own = connection.execute(
                select(recipients).where(recipients.c.id >= row.id * PLACES, recipients.c.id < (row.id + 1) * PLACES)
            ).all()
        traced = tuple(
            TracedRecipient(
                r.address,
                r.domain,
                State(r.state),
                _reason(r.reason),
                r.attempts,
                r.tried_at,
                r.last_reply,
                r.next_attempt_at,
            )
            for r in own
        )
        if traced:  # it may have left since; then its trace is found
            found.append(_traced(row, None, traced))
    return found


def _gone(
    db: Database, sender: str | None, recipient: str | None, message_id: str | None, id: int | None, limit: int
) -> list[Traced]:
    conditions = _conditions(trace_table, sender, message_id, id)
    if recipient is not None:
        # As text first, which is quick; what that finds too much of is sorted out below.
        conditions.append(
            trace_table.c.recipients.icontains(json.dumps(recipient, ensure_ascii=False), autoescape=True)
        )
    found = []
    for row in _search(db, trace_table, conditions, limit):
        traced = tuple(
            TracedRecipient(**{**one, "state": State(one["state"]), "reason": _reason(one["reason"])})
            for one in json.loads(row.recipients)
        )
        if recipient is None or any(one.address.lower() == recipient.lower() for one in traced):
            found.append(_traced(row, row.removed_at, traced))
    return found


def _conditions(table: Table, sender: str | None, message_id: str | None, id: int | None) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if id is not None:
        conditions.append(table.c.id == id)
    if sender is not None:
        conditions.append(func.lower(table.c.sender) == sender.lower())
    if message_id is not None:
        bare = message_id.strip().removeprefix("<").removesuffix(">")
        conditions.append(table.c.message_id.in_((bare, f"<{bare}>")))
    return conditions


def _search(db: Database, table: Table, conditions: list[ColumnElement[bool]], limit: int) -> Iterator[Any]:
    """Matching rows, newest first, read in windows of numbers with a transaction each."""
    end: int | None = None
    while limit > 0:
        newest = select(func.max(table.c.id)) if end is None else select(func.max(table.c.id)).where(table.c.id < end)
        with db.read() as connection:
            last = connection.execute(newest).scalar()
            if last is None:
                return
            end = last - WINDOW + 1
            window = and_(table.c.id >= end, table.c.id <= last, *conditions)
            rows = connection.execute(select(table).where(window).order_by(table.c.id.desc()).limit(limit)).all()
        yield from rows
        limit -= len(rows)


def _traced(row: Any, removed_at: float | None, traced: tuple[TracedRecipient, ...]) -> Traced:
    return Traced(
        row.id,
        row.appliance_id,
        row.sender,
        row.message_id,
        row.size,
        row.received_at,
        removed_at,
        row.client_ip,
        row.client_helo,
        traced,
    )


def _reason(text: str | None) -> Reason | None:
    return Reason(text) if text else None
