"""From the outbox to notices: what happened to tickets, read once, becomes what each of those concerned is to be told.

The outbox's row is written in the transaction of the ticket's change; that it was read, and the notices that follow
from it, are one transaction too. So nobody misses anything, and nobody is told twice.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select, update

from relay.appliances import store as appliances
from relay.tickets.people import store
from relay.tickets.people.book import Book
from relay.tickets.people.facts import Told
from relay.tickets.people.rules import News, ends_for, happening, tellings
from relay.tickets.plan import Terms
from relay.tickets.states import Condition, Event, Priority
from relay.tickets.tables import outbox, ticket_events, tickets
from relay.tickets.telling import as_it_stood

AT_ONCE = 200
"""Rows that are read in one transaction."""


def unread(connection: Connection) -> bool:
    return connection.execute(select(outbox.c.id).where(outbox.c.people_at.is_(None)).limit(1)).first() is not None


def read(connection: Connection, book: Book, terms: Terms, now: float) -> int:
    """Read what is new, in order; returns how many rows that were."""
    query = (
        select(outbox, tickets.c.external_ref, ticket_events.c.data)
        .join(tickets, tickets.c.id == outbox.c.ticket_id)
        .join(ticket_events, ticket_events.c.id == outbox.c.event_id)
        .where(outbox.c.people_at.is_(None))
        .order_by(outbox.c.id)
        .limit(AT_ONCE)
    )
    rows = connection.execute(query).all()
    for row in rows:
        if book:
            _tell(connection, book, row, terms)
        connection.execute(update(outbox).where(outbox.c.id == row.id).values(people_at=now))
    return len(rows)


def _tell(connection: Connection, book: Book, row: Row[Any], terms: Terms) -> None:
    news = _news(connection, book, row)
    if news is None:
        return
    told = None
    for telling in tellings(book.rules, news, store.told(connection, row.ticket_id)):
        if told is None:
            told = _told(connection, row, news, terms)
        facts = told.json() | {"ends": ends_for(book.rules, news, telling.target)}
        about = f"event {row.event_id}"
        store.add(
            connection, row.ticket_id, telling.target, about, news.happening, facts, row.created_at, telling.due_at
        )


def _news(connection: Connection, book: Book, row: Row[Any]) -> News | None:
    """None where it is nothing to people."""
    event, ticket = row.payload["event"], row.payload["ticket"]
    numbers = event["event"] in (Event.OPENED, Event.REOPENED, Event.PRIORITY)
    before, after = (event["from"], event["to"]) if numbers else (None, None)
    what = happening(Event(event["event"]), before, after, row.data)
    if what is None:
        return None
    return News(
        what,
        row.created_at,
        Priority(before or ticket["priority"]),
        Priority(after or ticket["priority"]),  # as it was right after the event, whatever came next in its transaction
        Condition(ticket["condition"]),
        ticket["customer"],
        ticket["appliance"],
        tuple(ticket["domains"]),
        _contacts(connection, book, ticket["appliance"]),
    )


def _contacts(connection: Connection, book: Book, name: str) -> tuple[str, ...]:
    if not any(rule.contacts for rule in book.rules):
        return ()
    found = appliances.find_appliance(connection, name)
    return () if found is None else found.contacts


def _told(connection: Connection, row: Row[Any], news: News, terms: Terms) -> Told:
    event, ticket = row.payload["event"], as_it_stood(connection, row, terms)
    status = ticket["status"]
    acknowledge = ticket["acknowledge_due"] if status == "open" else None
    respond = ticket["respond_due"] if status in ("open", "acknowledged") else None
    return Told(
        row.event_id,
        news.happening,
        row.created_at,
        event["actor"],
        event["reason"],
        row.ticket_id,
        int(news.before),
        int(news.priority),
        news.condition,
        news.customer,
        news.appliance,
        news.domains,
        ticket["assignee"],
        _seconds(acknowledge),
        _seconds(respond),
    )


def _seconds(text: str | None) -> float | None:
    return None if text is None else datetime.fromisoformat(text).timestamp()
