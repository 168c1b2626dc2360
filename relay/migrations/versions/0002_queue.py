"""Mail: messages, their recipients and content, the trace of what has left, and the sums over all of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002_queue"
down_revision = "0001_appliances"

Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    numbers = op.create_table(
        "numbers",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("message", Number, nullable=False),
        sa.Column("content", Number, nullable=False),
    )
    op.bulk_insert(numbers, [{"id": 1, "message": 0, "content": 0}])
    op.create_table(
        "content",
        sa.Column("id", Number, primary_key=True, autoincrement=False),
        sa.Column("packed", sa.Boolean, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "incoming",
        sa.Column("content_id", Number, primary_key=True, autoincrement=False),
        sa.Column("node", sa.String, nullable=False),
        sa.Column("began_at", sa.Float, nullable=False),
    )
    op.create_table(
        "messages",
        sa.Column("id", Number, primary_key=True, autoincrement=False),
        sa.Column("appliance_id", sa.Integer, nullable=False),
        sa.Column("content_id", Number, nullable=False),
        sa.Column("shared", sa.Boolean, nullable=False),
        sa.Column("sender", sa.String, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("received_at", sa.Float, nullable=False),
        sa.Column("message_id", sa.String, nullable=False),
        sa.Column("body", sa.String, nullable=False),
        sa.Column("smtputf8", sa.Boolean, nullable=False),
        sa.Column("ret", sa.String),
        sa.Column("envid", sa.String),
        sa.Column("client_ip", sa.String, nullable=False),
        sa.Column("client_port", sa.Integer, nullable=False),
        sa.Column("client_helo", sa.String, nullable=False),
        sa.Column("client_protocol", sa.String, nullable=False),
    )
    _partial_index("messages_shared", "messages", ["content_id"], "shared")
    op.create_table(
        "recipients",
        sa.Column("id", Number, primary_key=True, autoincrement=False),
        sa.Column("message_id", Number, nullable=False),
        sa.Column("appliance_id", sa.Integer, nullable=False),
        sa.Column("domain", sa.String, nullable=False),
        sa.Column("address", sa.String, nullable=False),
        sa.Column("notify", sa.String),
        sa.Column("orcpt", sa.String),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("reason", sa.String),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_attempt_at", sa.Float),
        sa.Column("tried_at", sa.Float),
        sa.Column("last_reply", sa.String, nullable=False),
        sa.Column("outage_id", sa.Integer, nullable=False),
    )
    _partial_index(
        "recipients_hot",
        "recipients",
        ["appliance_id", "state", "id", "next_attempt_at", "tried_at"],
        "state IN ('queued','held')",
    )
    _partial_index(
        "recipients_deferred", "recipients", ["appliance_id", "next_attempt_at"], "next_attempt_at IS NOT NULL"
    )
    op.create_table(
        "trace",
        sa.Column("id", Number, primary_key=True, autoincrement=False),
        sa.Column("appliance_id", sa.Integer, nullable=False),
        sa.Column("sender", sa.String, nullable=False),
        sa.Column("message_id", sa.String, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("received_at", sa.Float, nullable=False),
        sa.Column("removed_at", sa.Float, nullable=False),
        sa.Column("client_ip", sa.String, nullable=False),
        sa.Column("client_helo", sa.String, nullable=False),
        sa.Column("recipients", sa.String, nullable=False),
    )
    op.create_table(
        "ledger",
        sa.Column("domain", sa.String, nullable=False),
        sa.Column("node", sa.String, nullable=False),
        sa.Column("outage_id", sa.Integer, nullable=False),
        sa.Column("accepted", sa.Integer, nullable=False),
        sa.Column("delivered", sa.Integer, nullable=False),
        sa.Column("bounced", sa.Integer, nullable=False),
        sa.Column("expired", sa.Integer, nullable=False),
        sa.Column("dropped", sa.Integer, nullable=False),
        sa.Column("queued", sa.Integer, nullable=False),
        sa.Column("held", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("domain", "node", "outage_id"),
    )
    op.create_table(
        "depths",
        sa.Column("appliance_id", sa.Integer, nullable=False),
        sa.Column("domain", sa.String, nullable=False),
        sa.Column("node", sa.String, nullable=False),
        sa.Column("queued", sa.Integer, nullable=False),
        sa.Column("held", sa.Integer, nullable=False),
        sa.Column("bytes", Number, nullable=False),
        sa.PrimaryKeyConstraint("appliance_id", "domain", "node"),
    )
    op.create_table(
        "arrivals",
        sa.Column("domain", sa.String, nullable=False),
        sa.Column("hour", sa.Integer, nullable=False),
        sa.Column("node", sa.String, nullable=False),
        sa.Column("bytes", Number, nullable=False),
        sa.PrimaryKeyConstraint("domain", "hour", "node"),
    )
    op.create_table(
        "loop_proofs",
        sa.Column("nonce", sa.String, primary_key=True),
        sa.Column("domain", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("packed", sa.Boolean, nullable=False),
        sa.Column("content", sa.LargeBinary),
        sa.Column("at", sa.Float, nullable=False),
    )


def _partial_index(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
