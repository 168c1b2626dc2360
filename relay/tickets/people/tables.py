"""Tables of what people are to be told, and of how we stand with each way to them. Times are POSIX seconds."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, ForeignKey, Index, Integer, String, Table, UniqueConstraint, text

from relay.db import metadata

# What somebody is to be told: ``id`` is the order for a ticket and a target. ``about``: what it tells of, no two the
# same for a target. ``due_at``: not before. ``batch``: with which others it is on its way, or was when a process died.
# ``outcome``: sent, skipped or given up.
notices = Table(
    "notices",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("ticket_id", ForeignKey("tickets.id"), nullable=False),
    Column("target", String, nullable=False),
    Column("about", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("facts", JSON, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("due_at", Float, nullable=False),
    Column("batch", Integer),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at", Float, nullable=False),
    Column("last_error", String),
    Column("ended_at", Float),
    Column("outcome", String),
    UniqueConstraint("target", "about"),
)
Index(
    "notices_waiting",
    notices.c.due_at,
    sqlite_where=text("ended_at IS NULL"),
    postgresql_where=text("ended_at IS NULL"),
)
Index("notices_by_ticket", notices.c.ticket_id, notices.c.target, notices.c.id)

# A way to people: a target, or the mail server of the customers' contacts. ``trouble``: empty where there is none.
lanes = Table(
    "notice_lanes",
    metadata,
    Column("name", String, primary_key=True),
    Column("trouble", String, nullable=False),
    Column("trouble_since", Float),
    Column("failures", Integer, nullable=False),
    Column("retry_at", Float, nullable=False),
    Column("reached_at", Float),
)
