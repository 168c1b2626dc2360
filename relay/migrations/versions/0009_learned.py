"""Recipients as the primaries answered for them, and what becomes of the never-seen."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009_learned"
down_revision = "0008_recipient_lists"


def upgrade() -> None:
    op.add_column("domains", sa.Column("never_seen", sa.String, nullable=False, server_default="accept"))
    op.create_table(
        "recipients_learned",
        sa.Column("domain_id", sa.Integer, sa.ForeignKey("domains.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("local", sa.String, primary_key=True),
        sa.Column("answer", sa.String, nullable=False),
        sa.Column("first_at", sa.Float, nullable=False),
        sa.Column("last_at", sa.Float, nullable=False),
        sa.Column("confirmations", sa.Integer, nullable=False),
        sa.Column("doubts", sa.Integer, nullable=False),
        sa.Column("doubted_at", sa.Float),
        sa.Column("number", sa.BigInteger, nullable=False, index=True),
    )
