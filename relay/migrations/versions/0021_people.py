"""What people are to be told of tickets, and what of the outbox has been turned into that."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021_people"
down_revision = "0020_nodes"


def upgrade() -> None:
    op.add_column("outbox", sa.Column("people_at", sa.Float))
    op.execute("UPDATE outbox SET people_at = created_at")  # nobody wants to hear of last month now
    op.create_index(
        "outbox_for_people",
        "outbox",
        ["id"],
        sqlite_where=sa.text("people_at IS NULL"),
        postgresql_where=sa.text("people_at IS NULL"),
    )
    op.create_table(
        "notices",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("ticket_id", sa.Integer, sa.ForeignKey("tickets.id"), nullable=False),
        sa.Column("target", sa.String, nullable=False),
        sa.Column("about", sa.String, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("facts", sa.JSON, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("due_at", sa.Float, nullable=False),
        sa.Column("batch", sa.Integer),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_attempt_at", sa.Float, nullable=False),
        sa.Column("last_error", sa.String),
        sa.Column("ended_at", sa.Float),
        sa.Column("outcome", sa.String),
        sa.UniqueConstraint("target", "about"),
    )
    op.create_index(
        "notices_waiting",
        "notices",
        ["due_at"],
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_index("notices_by_ticket", "notices", ["ticket_id", "target", "id"])
    op.create_table(
        "notice_lanes",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("trouble", sa.String, nullable=False),
        sa.Column("trouble_since", sa.Float),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("retry_at", sa.Float, nullable=False),
        sa.Column("reached_at", sa.Float),
    )
