"""The evidence of each proof, and what was done about each appliance."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004_continuity"
down_revision = "0003_tickets"


def upgrade() -> None:
    op.create_table(
        "proofs",
        sa.Column("appliance_id", sa.Integer, sa.ForeignKey("appliances.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("ok", sa.Boolean, nullable=False),
        sa.Column("evidence", sa.String, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("last_good_at", sa.Float),
    )
    op.create_table(
        "failover_history",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column(
            "appliance_id", sa.Integer, sa.ForeignKey("appliances.id", ondelete="CASCADE"), nullable=False, index=True
        ),
        sa.Column("outage_id", sa.Integer),
        sa.Column("actor", sa.String, nullable=False),
        sa.Column("before", sa.String, nullable=False),
        sa.Column("after", sa.String, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
    )
