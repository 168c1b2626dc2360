"""How drains get on, for other processes to see, and what the drains of each outage handed back."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014_progress"
down_revision = "0013_reports"


def upgrade() -> None:
    op.create_table(
        "drain_progress",
        sa.Column("appliance_id", sa.Integer, sa.ForeignKey("appliances.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("node", sa.String, nullable=False),
        sa.Column("began_at", sa.Float, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("phase", sa.String, nullable=False),
        sa.Column("tried", sa.Integer, nullable=False),
        sa.Column("left", sa.Integer, nullable=False),
        sa.Column("rate", sa.Float, nullable=False),
        sa.Column("moved_at", sa.Float, nullable=False),
        sa.Column("why", sa.String, nullable=False),
    )
    op.create_table(
        "handbacks",
        sa.Column("outage_id", sa.Integer, sa.ForeignKey("outages.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("messages", sa.Integer, nullable=False),
        sa.Column("recipients", sa.Integer, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("peak", sa.Float, nullable=False),
    )
