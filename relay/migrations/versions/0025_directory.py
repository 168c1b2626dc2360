"""When facts were written, by their version: a node reloads what has changed, not a hundred thousand domains."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025_directory"
down_revision = "0024_postgresql_queue"


def upgrade() -> None:
    op.add_column("facts_version", sa.Column("directory", sa.Integer, nullable=False, server_default="0"))
    for table in ("health", "continuity"):
        op.add_column(table, sa.Column("version", sa.Integer, nullable=False, server_default="0"))
