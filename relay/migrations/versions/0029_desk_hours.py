"""The hours that the desk had, and when, so that reports of the past stay as they are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0029_desk_hours"
down_revision = "0028_behind"
compatible_from = "0025_directory"


def upgrade() -> None:
    op.create_table(
        "desk_hours",
        sa.Column("since", sa.Float, primary_key=True),
        sa.Column("hours", sa.String, nullable=False),
        sa.Column("timezone", sa.String, nullable=False),
        sa.Column("holidays", sa.String, nullable=False),
    )
