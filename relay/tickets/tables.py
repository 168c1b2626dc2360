"""Tables of tickets, their history and what is still to be told to the helpdesk. Times are POSIX seconds.

The history is only ever appended to: triggers refuse to change or delete a line (migration 0003).
"""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Float, ForeignKey, Index, Integer, String, Table, text

from relay.db import metadata

# The names of appliance and customer are copies: a ticket outlives its appliance. ``derived_priority`` and
# ``person_decided``: see relay.tickets.ticket.Ticket.
tickets = Table(
    "tickets",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("appliance_id", ForeignKey("appliances.id", ondelete="SET NULL")),
    Column("appliance", String, nullable=False),
    Column("customer", String, nullable=False),
    Column("condition", String, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("status", String, nullable=False),
    Column("waiting", Boolean, nullable=False),
    Column("assignee", String),
    Column("opened_at", Float, nullable=False),
    Column("opened_by", String, nullable=False),
    Column("resolved_at", Float),
    Column("external_ref", String),
    Column("outage_id", Integer),
    Column("derived_priority", Integer),
    Column("person_decided", Boolean, nullable=False),
    Index("tickets_by_subject", "appliance_id", "condition"),
)
Index(
    "one_open_ticket",
    tickets.c.appliance_id,
    tickets.c.condition,
    unique=True,
    sqlite_where=text("status != 'resolved'"),
    postgresql_where=text("status != 'resolved'"),
)

OWN = "appliance_id IS NULL AND customer = '' AND status != 'resolved'"
"""The relay's own open tickets: of no appliance (a node's name stands there) and no customer."""
Index(
    "one_open_ticket_of_ours",
    tickets.c.appliance,
    tickets.c.condition,
    unique=True,
    sqlite_where=text(OWN),
    postgresql_where=text(OWN),
)

ticket_domains = Table(
    "ticket_domains",
    metadata,
    Column("ticket_id", ForeignKey("tickets.id"), primary_key=True),
    Column("domain", String, primary_key=True),
)

ticket_events = Table(
    "ticket_events",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("ticket_id", ForeignKey("tickets.id"), nullable=False, index=True),
    Column("at", Float, nullable=False),
    Column("actor", String, nullable=False),
    Column("event", String, nullable=False),
    Column("before", String),
    Column("after", String),
    Column("reason", String, nullable=False),
    Column("visible", Boolean, nullable=False),
    Column("data", JSON, nullable=False),
)

# What happened and how the ticket stood then, for the helpdesk; ``id`` is the order within a ticket. ``people_at``:
# when it was read for people, whose own messages are relay.tickets.people's.
outbox = Table(
    "outbox",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("ticket_id", ForeignKey("tickets.id"), nullable=False),
    Column("event_id", ForeignKey("ticket_events.id"), nullable=False),
    Column("kind", String, nullable=False),
    Column("payload", JSON, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("sent_at", Float),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at", Float, nullable=False),
    Column("last_error", String),
    Column("people_at", Float),
)
Index(
    "outbox_for_people",
    outbox.c.id,
    sqlite_where=text("people_at IS NULL"),
    postgresql_where=text("people_at IS NULL"),
)
Index(
    "outbox_unsent",
    outbox.c.ticket_id,
    outbox.c.id,
    sqlite_where=text("sent_at IS NULL"),
    postgresql_where=text("sent_at IS NULL"),
)
Index(
    "outbox_sent",
    outbox.c.sent_at,
    sqlite_where=text("sent_at IS NOT NULL"),
    postgresql_where=text("sent_at IS NOT NULL"),
)

# How we stand with the helpdesk, a row for each that was ever set up here: ``cursor`` is how far we have heard what
# people did there, ``trouble`` why it takes no messages, and ``failures`` how often in a row it took none; it isn't
# asked again before ``retry_at``, and never while it is ``disabled``.
helpdesks = Table(
    "helpdesks",
    metadata,
    Column("name", String, primary_key=True),
    Column("url", String, nullable=False),
    Column("cursor", String, nullable=False),
    Column("trouble", String, nullable=False),
    Column("trouble_since", Float),
    Column("failures", Integer, nullable=False),
    Column("retry_at", Float, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("reached_at", Float),
)

# What people said in the helpdesk and was carried out here, by the helpdesk's own name for it: never twice.
helpdesk_words = Table(
    "helpdesk_words",
    metadata,
    Column("id", String, primary_key=True),
    Column("heard_at", Float, nullable=False, index=True),
)

# The least number that the next ticket, or line of a history, is given: only in a database that was restored.
ticket_numbers = Table(
    "ticket_numbers",
    metadata,
    Column("name", String, primary_key=True),
    Column("first", Integer, nullable=False),
)

# The desk's hours as [support] has them, each from the time on from which a node went by them.
desk_hours = Table(
    "desk_hours",
    metadata,
    Column("since", Float, primary_key=True),
    Column("hours", String, nullable=False),
    Column("timezone", String, nullable=False),
    Column("holidays", String, nullable=False),
)
