"""Tickets, their history, and the outbox of what is to be told to the helpdesk."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003_tickets"
down_revision = "0002_queue"


def upgrade() -> None:
    op.create_table(
        "tickets",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("appliance_id", sa.Integer, sa.ForeignKey("appliances.id", ondelete="SET NULL")),
        sa.Column("appliance", sa.String, nullable=False),
        sa.Column("customer", sa.String, nullable=False),
        sa.Column("condition", sa.String, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("waiting", sa.Boolean, nullable=False),
        sa.Column("assignee", sa.String),
        sa.Column("opened_at", sa.Float, nullable=False),
        sa.Column("opened_by", sa.String, nullable=False),
        sa.Column("resolved_at", sa.Float),
        sa.Column("external_ref", sa.String),
        sa.Column("outage_id", sa.Integer),
        sa.Column("derived_priority", sa.Integer),
        sa.Column("person_decided", sa.Boolean, nullable=False),
    )
    op.create_index("tickets_by_subject", "tickets", ["appliance_id", "condition"])
    op.create_index(
        "one_open_ticket",
        "tickets",
        ["appliance_id", "condition"],
        unique=True,
        sqlite_where=sa.text("status != 'resolved'"),
        postgresql_where=sa.text("status != 'resolved'"),
    )
    op.create_table(
        "ticket_domains",
        sa.Column("ticket_id", sa.Integer, sa.ForeignKey("tickets.id"), primary_key=True),
        sa.Column("domain", sa.String, primary_key=True),
    )
    op.create_table(
        "ticket_events",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("ticket_id", sa.Integer, sa.ForeignKey("tickets.id"), nullable=False, index=True),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("actor", sa.String, nullable=False),
        sa.Column("event", sa.String, nullable=False),
        sa.Column("before", sa.String),
        sa.Column("after", sa.String),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("visible", sa.Boolean, nullable=False),
        sa.Column("data", sa.JSON, nullable=False),
    )
    refusal = "the history of a ticket is only appended to"
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER ticket_events_no_{verb.lower()} BEFORE {verb} ON ticket_events "
                f"BEGIN SELECT RAISE(ABORT, '{refusal}'); END"
            )
    else:
        op.execute(
            "CREATE FUNCTION ticket_events_stand() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$BEGIN RAISE EXCEPTION '{refusal}' USING ERRCODE = 'restrict_violation'; END$$"
        )
        op.execute(
            "CREATE TRIGGER ticket_events_stand BEFORE UPDATE OR DELETE ON ticket_events "
            "FOR EACH ROW EXECUTE FUNCTION ticket_events_stand()"
        )
    op.create_table(
        "outbox",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("ticket_id", sa.Integer, sa.ForeignKey("tickets.id"), nullable=False),
        sa.Column("event_id", sa.Integer, sa.ForeignKey("ticket_events.id"), nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("payload", sa.JSON, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("sent_at", sa.Float),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_attempt_at", sa.Float, nullable=False),
        sa.Column("last_error", sa.String),
    )
    op.create_index(
        "outbox_unsent",
        "outbox",
        ["ticket_id", "id"],
        sqlite_where=sa.text("sent_at IS NULL"),
        postgresql_where=sa.text("sent_at IS NULL"),
    )
    op.create_index(
        "outbox_sent",
        "outbox",
        ["sent_at"],
        sqlite_where=sa.text("sent_at IS NOT NULL"),
        postgresql_where=sa.text("sent_at IS NOT NULL"),
    )
