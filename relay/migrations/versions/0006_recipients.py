"""Who exists at a domain: the lists that operators keep."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006_recipients"
down_revision = "0005_cluster"


def upgrade() -> None:
    op.create_table(
        "recipients_list",
        sa.Column("domain_id", sa.Integer, sa.ForeignKey("domains.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("local", sa.String, primary_key=True),
        sa.Column("added_at", sa.Float, nullable=False),
    )
    version = op.create_table(
        "recipients_version",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
    )
    op.bulk_insert(version, [{"id": 1, "version": 1}])
