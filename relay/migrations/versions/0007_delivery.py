"""Returns of primaries and tripped breakers, and messages at whose sending the program broke down."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007_delivery"
down_revision = "0006_recipients"


def upgrade() -> None:
    op.create_table(
        "drains",
        sa.Column("appliance_id", sa.Integer, sa.ForeignKey("appliances.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("returned_at", sa.Float, nullable=False),
        sa.Column("window_until", sa.Float, nullable=False),
        sa.Column("tripped_at", sa.Float),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("addresses", sa.JSON, nullable=False),
        sa.Column("known", sa.Boolean, nullable=False),
    )
    op.create_table(
        "breakdowns",
        sa.Column("message_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("times", sa.Integer, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
    )
