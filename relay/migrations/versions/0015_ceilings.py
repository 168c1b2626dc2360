"""How hard a returning primary may be pressed: connections at once, and messages a second."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015_ceilings"
down_revision = "0014_progress"


def upgrade() -> None:
    op.add_column("appliances", sa.Column("max_connections", sa.Integer))
    op.add_column("appliances", sa.Column("max_rate", sa.Float))
