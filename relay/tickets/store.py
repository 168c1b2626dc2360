"""Tickets in the database: reading them, and the one way to change one.

A change, its history row and the message to the helpdesk are one transaction, the caller's: :func:`change` writes the
first, :func:`record` the other two, in this order, so that the message shows the ticket as it stands afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, delete, insert, select, true, update

from relay.errors import NotFound, Refused
from relay.tickets import numbering
from relay.tickets.states import UNRESOLVED, Condition, Event, Priority, Status
from relay.tickets.tables import outbox, ticket_domains, ticket_events, tickets
from relay.tickets.ticket import Entry, Ticket

OPEN = tickets.c.status != str(Status.RESOLVED)


def get(connection: Connection, ticket_id: int) -> Ticket:
    """Raises NotFound."""
    found = find_all(connection, tickets.c.id == ticket_id)
    if not found:
        raise NotFound(f"there is no ticket {ticket_id}; 'relayctl ticket list --all' shows them")
    return found[0]


def latest(connection: Connection, appliance_id: int, condition: Condition) -> Ticket | None:
    """The last ticket for an appliance and a condition: if one is open, it is this one."""
    return _last(connection, tickets.c.appliance_id == appliance_id, tickets.c.condition == str(condition))


def latest_of_ours(connection: Connection, node: str, condition: Condition) -> Ticket | None:
    """The same of the tickets about the relay itself; ``node``: the name that stands for an appliance's."""
    return _last(
        connection,
        tickets.c.appliance_id.is_(None),
        tickets.c.customer == "",
        tickets.c.appliance == node,
        tickets.c.condition == str(condition),
    )


def _last(connection: Connection, *which: ColumnElement[bool]) -> Ticket | None:
    last = select(tickets.c.id).where(*which).order_by(tickets.c.id.desc()).limit(1).scalar_subquery()
    return next(iter(find_all(connection, tickets.c.id == last)), None)


def find_all(connection: Connection, which: ColumnElement[bool]) -> list[Ticket]:
    """The most urgent first, then the oldest; ``which`` is about the columns of ``tickets``."""
    domains: dict[int, list[str]] = {}
    listed: Select[Any] = select(ticket_domains).join(tickets).where(which).order_by(ticket_domains.c.domain)
    for ticket_id, domain in connection.execute(listed):
        domains.setdefault(ticket_id, []).append(domain)
    rows = connection.execute(select(tickets).where(which).order_by(tickets.c.priority, tickets.c.id))
    return [_ticket(row, domains.get(row.id, ())) for row in rows]


def histories(
    connection: Connection, which: ColumnElement[bool], events: Iterable[Event] | None = None
) -> dict[int, list[Entry]]:
    """The history of each ticket, oldest line first; ``events``: only these."""
    wanted = true() if events is None else ticket_events.c.event.in_([str(event) for event in events])
    found: dict[int, list[Entry]] = {}
    query = select(ticket_events).join(tickets).where(which, wanted).order_by(ticket_events.c.id)
    for row in connection.execute(query):
        found.setdefault(row.ticket_id, []).append(_entry(row))
    return found


def add(connection: Connection, domains: Iterable[str], **values: Any) -> int:
    """A new ticket, open and nobody's, without a history yet; returns its number."""
    key = connection.execute(
        insert(tickets).values(
            status=str(Status.OPEN), waiting=False, **values, **numbering.forced(connection, tickets)
        )
    ).inserted_primary_key
    assert key is not None  # noqa: S101 - an INTEGER PRIMARY KEY always comes back
    set_domains(connection, int(key[0]), domains)
    return int(key[0])


def change(connection: Connection, ticket_id: int, *, at: Iterable[Status] = UNRESOLVED, **values: Any) -> None:
    """Change columns of a ticket whose status is one of ``at``. Raises Refused where it is another."""
    allowed = [str(status) for status in at]
    written = connection.execute(
        update(tickets).where(tickets.c.id == ticket_id, tickets.c.status.in_(allowed)).values(**values)
    )
    if written.rowcount == 0:
        raise Refused(f"ticket {ticket_id} is {get(connection, ticket_id).status}; that can't be done any more")


def set_domains(connection: Connection, ticket_id: int, domains: Iterable[str]) -> None:
    connection.execute(delete(ticket_domains).where(ticket_domains.c.ticket_id == ticket_id))
    rows = [{"ticket_id": ticket_id, "domain": domain} for domain in sorted(set(domains))]
    if rows:
        connection.execute(insert(ticket_domains), rows)


def record(
    connection: Connection,
    ticket_id: int,
    event: Event,
    actor: str,
    now: float,
    *,
    before: str | None = None,
    after: str | None = None,
    reason: str = "",
    visible: bool = False,
    data: Mapping[str, Any] | None = None,
) -> Entry:
    """Append a line to the history, and put it into the outbox together with the ticket as it stands."""
    values: dict[str, Any] = {
        "at": now,
        "actor": actor,
        "event": event,
        "before": before,
        "after": after,
        "reason": reason,
        "visible": visible,
        "data": dict(data or {}),
    }
    key = connection.execute(
        insert(ticket_events).values(
            {**values, "ticket_id": ticket_id, "event": str(event), **numbering.forced(connection, ticket_events)}
        )
    ).inserted_primary_key
    assert key is not None  # noqa: S101
    entry = Entry(id=int(key[0]), **values)
    connection.execute(
        insert(outbox).values(
            ticket_id=ticket_id,
            event_id=entry.id,
            kind=str(event),
            payload={
                "ticket": get(connection, ticket_id).facts(),
                "event": {"id": entry.id, "visible": visible, **entry.facts()},
            },
            created_at=now,
            attempts=0,
            next_attempt_at=now,
        )
    )
    return entry


def _ticket(row: Row[Any], domains: Iterable[str]) -> Ticket:
    values = dict(row._mapping)
    values["domains"] = tuple(domains)
    values["condition"] = Condition(row.condition)
    values["priority"] = Priority(row.priority)
    values["status"] = Status(row.status)
    values["derived_priority"] = None if row.derived_priority is None else Priority(row.derived_priority)
    return Ticket(**values)


def _entry(row: Row[Any]) -> Entry:
    return Entry(row.id, row.at, row.actor, Event(row.event), row.before, row.after, row.reason, row.visible, row.data)
