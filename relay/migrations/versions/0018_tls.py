"""How an appliance's primaries are spoken to: encrypted or not, verified or not."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018_tls"
down_revision = "0017_helpdesks"


def upgrade() -> None:
    op.add_column("appliances", sa.Column("tls", sa.String))
