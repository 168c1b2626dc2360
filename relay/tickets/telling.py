"""What the helpdesk is still to be told: which messages are next, each with the ticket as it stood then, and how many.

Reads only. A message is the same whenever it is read, however often: the clocks too are those of its moment.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, select, true

from relay.clock import iso
from relay.cluster.secret import secret
from relay.tickets import past_hours, sla, store
from relay.tickets.helpdesks.helpdesk import Message
from relay.tickets.plan import Terms
from relay.tickets.tables import outbox, tickets


@dataclass(frozen=True, slots=True)
class Waiting:
    """What hasn't reached the helpdesk yet: how many messages, since when, and how it went with the first of them."""

    messages: int = 0
    oldest_at: float | None = None
    attempts: int = 0
    last_error: str | None = None
    next_attempt_at: float | None = None


def waiting(connection: Connection, ticket_id: int | None = None) -> Waiting:
    """For one ticket, or for all of them together."""
    which = outbox.c.sent_at.is_(None) & (true() if ticket_id is None else outbox.c.ticket_id == ticket_id)
    count, first = connection.execute(select(func.count(), func.min(outbox.c.id)).where(which)).one()
    if not count:
        return Waiting()
    row = connection.execute(select(outbox).where(outbox.c.id == first)).one()
    return Waiting(count, row.created_at, row.attempts, row.last_error, row.next_attempt_at)


def next_messages(
    connection: Connection, now: float, terms: Terms, limit: int, busy: Collection[int] = ()
) -> list[Message]:
    """The first undelivered message of each ticket, where its time has come; none for the tickets of ``busy``."""
    heads = (
        select(func.min(outbox.c.id)).where(outbox.c.sent_at.is_(None)).group_by(outbox.c.ticket_id).scalar_subquery()
    )
    query = (
        select(outbox, tickets.c.external_ref)
        .join(tickets)
        .where(outbox.c.id.in_(heads), outbox.c.next_attempt_at <= now, outbox.c.ticket_id.not_in(list(busy)))
        .order_by(outbox.c.next_attempt_at, outbox.c.id)
        .limit(limit)
    )
    rows = connection.execute(query).all()
    name = cluster_name(connection) if rows else ""
    return [_message(connection, row, name, terms) for row in rows]


def cluster_name(connection: Connection) -> str:
    """Eight characters that tell what this cluster writes into a helpdesk from what any other does."""
    return hashlib.sha256(b"helpdesk" + secret(connection)).hexdigest()[:8]


def _message(connection: Connection, row: Row[Any], cluster: str, terms: Terms) -> Message:
    return Message(
        row.id,
        row.ticket_id,
        row.kind,
        {"ticket": as_it_stood(connection, row, terms), "event": row.payload["event"]},
        row.external_ref,
        row.created_at,
        row.attempts,
        key=f"{cluster}-{row.event_id}",
        incident=f"{row.ticket_id}@{cluster}",
        heard=bool(row.payload.get("heard")),
    )


def as_it_stood(connection: Connection, row: Row[Any], terms: Terms) -> dict[str, Any]:
    """The ticket with the keys of ``relayctl ticket show --json``, right after the event."""
    lines = store.histories(connection, tickets.c.id == row.ticket_id, sla.CLOCK_EVENTS)[row.ticket_id]
    terms = past_hours.held(connection, terms, row.created_at)
    cycle = sla.cycles((line for line in lines if line.id <= row.event_id), terms, row.created_at)[-1]
    ticket = dict(row.payload["ticket"])
    later = {key: ticket.pop(key) for key in ("resolved_at", "external_ref")}
    due = {"acknowledge_due": cycle.acknowledge.due, "respond_due": cycle.respond.due}
    return {
        **ticket,
        **{key: None if at is None else iso(at) for key, at in due.items()},
        **later,
        "external_ref": row.external_ref,
    }
