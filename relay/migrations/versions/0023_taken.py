"""Whether a primary has taken anything since it came back."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023_taken"
down_revision = "0022_database_backups"


def upgrade() -> None:
    op.add_column("drains", sa.Column("taken_at", sa.Float))
