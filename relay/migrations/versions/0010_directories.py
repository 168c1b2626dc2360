"""The customers' directories, from which lists of recipients are kept up to date."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010_directories"
down_revision = "0009_learned"


def upgrade() -> None:
    op.create_table(
        "directories",
        sa.Column("appliance_id", sa.Integer, sa.ForeignKey("appliances.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("urls", sa.JSON, nullable=False),
        sa.Column("bind_dn", sa.String, nullable=False),
        sa.Column("password_file", sa.String, nullable=False),
        sa.Column("tls", sa.String, nullable=False),
        sa.Column("ca_file", sa.String, nullable=False),
        sa.Column("every", sa.Integer, nullable=False),
        sa.Column("last_try_at", sa.Float),
        sa.Column("last_ok_at", sa.Float),
        sa.Column("failing_since", sa.Float),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("last_error", sa.String, nullable=False),
        sa.Column("lists", sa.JSON, nullable=False),
        sa.Column("losses", sa.JSON, nullable=False),
    )
