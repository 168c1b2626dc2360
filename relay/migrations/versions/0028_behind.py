"""For which of its appliances a node doesn't vouch, so that the others know of which a primary is proven up."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0028_behind"
down_revision = "0025_directory"
compatible_from = "0025_directory"


def upgrade() -> None:
    op.add_column("nodes", sa.Column("behind", sa.JSON))
