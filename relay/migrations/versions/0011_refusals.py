"""How often the edge said no and why, and what the DNS says of domains whose contract is over."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011_refusals"
down_revision = "0010_directories"


def upgrade() -> None:
    op.create_table(
        "refusals",
        sa.Column("hour", sa.Integer, nullable=False),
        sa.Column("domain", sa.String, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("node", sa.String, nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("hour", "domain", "reason", "node"),
    )
    op.create_table(
        "naming",
        sa.Column("domain_id", sa.Integer, sa.ForeignKey("domains.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("named_at", sa.Float, nullable=False),
        sa.Column("looked_at", sa.Float, nullable=False),
    )
