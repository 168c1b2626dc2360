"""Reports to senders: what is known of a sender, who is to be judged, and the reports that are on their way."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013_reports"
down_revision = "0012_limits"

Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("messages", sa.Column("verdict", sa.String))
    op.add_column("messages", sa.Column("evidence", sa.String))
    op.add_column("messages", sa.Column("asked", sa.Integer, nullable=False, server_default="0"))
    op.add_column("messages", sa.Column("ask_at", sa.Float))
    op.add_column("messages", sa.Column("warned_at", sa.Float))
    op.add_column("messages", sa.Column("quarantined_at", sa.Float))
    _partial_index("messages_quarantined", "messages", ["quarantined_at"], "quarantined_at IS NOT NULL")
    op.add_column("recipients", sa.Column("remote", sa.String))
    _partial_index("recipients_failed", "recipients", ["appliance_id", "id"], "reason = 'failed'")
    _partial_index("recipients_asked", "recipients", ["appliance_id", "id"], "notify IS NOT NULL")
    op.create_table(
        "reports",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("appliance_id", sa.Integer, nullable=False),
        sa.Column("message_id", Number, nullable=False),
        sa.Column("sender", sa.String, nullable=False),
        sa.Column("domain", sa.String, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("about", sa.String, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_attempt_at", sa.Float, nullable=False),
        sa.Column("last_reply", sa.String, nullable=False),
        sa.Column("packed", sa.Boolean, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("reports_due", "reports", ["domain", "next_attempt_at", "appliance_id"])


def _partial_index(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
