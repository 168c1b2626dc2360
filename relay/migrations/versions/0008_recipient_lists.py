"""Listed recipients know their source and kind, in editions of which one counts; domains their plus-addressing."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008_recipient_lists"
down_revision = "0007_delivery"


def upgrade() -> None:
    op.create_table(
        "recipients_lists",
        sa.Column("domain_id", sa.Integer, sa.ForeignKey("domains.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("source", sa.String, primary_key=True),
        sa.Column("edition", sa.Integer, nullable=False),
        sa.Column("begun", sa.Integer, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
    )
    op.execute(
        "INSERT INTO recipients_lists (domain_id, source, edition, begun, version) "
        "SELECT DISTINCT domain_id, 'operator', 1, 1, 1 FROM recipients_list"
    )
    op.rename_table("recipients_list", "recipients_list_0006")
    op.create_table(
        "recipients_list",
        sa.Column("domain_id", sa.Integer, sa.ForeignKey("domains.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("source", sa.String, primary_key=True),
        sa.Column("edition", sa.Integer, primary_key=True),
        sa.Column("local", sa.String, primary_key=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("target", sa.String),
        sa.Column("added_at", sa.Float, nullable=False),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO recipients_list (domain_id, source, edition, local, kind, added_at) "
        "SELECT domain_id, 'operator', 1, local, 'address', added_at FROM recipients_list_0006"
    )
    op.drop_table("recipients_list_0006")
    op.add_column("domains", sa.Column("plus_addressing", sa.String, nullable=False, server_default="+"))
