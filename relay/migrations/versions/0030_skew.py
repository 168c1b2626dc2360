"""How far a node's time is from that of the database server, so that a node that started by a wrong clock is seen."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0030_skew"
down_revision = "0029_desk_hours"
compatible_from = "0025_directory"


def upgrade() -> None:
    op.add_column("nodes", sa.Column("skew", sa.Float))
