"""How we stand with the helpdesk, and what was heard from it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017_helpdesks"
down_revision = "0016_backups"


def upgrade() -> None:
    op.create_table(
        "helpdesks",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("url", sa.String, nullable=False),
        sa.Column("cursor", sa.String, nullable=False),
        sa.Column("trouble", sa.String, nullable=False),
        sa.Column("trouble_since", sa.Float),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("retry_at", sa.Float, nullable=False),
        sa.Column("disabled", sa.Boolean, nullable=False),
        sa.Column("reached_at", sa.Float),
    )
    op.create_table(
        "helpdesk_words",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("heard_at", sa.Float, nullable=False, index=True),
    )
