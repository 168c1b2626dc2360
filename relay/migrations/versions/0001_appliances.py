"""Appliances, their Gold domains, and what is known of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001_appliances"
down_revision = None

Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "appliances",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String, nullable=False, unique=True),
        sa.Column("customer", sa.String, nullable=False),
        sa.Column("primaries", sa.JSON, nullable=False),
        sa.Column("business_hours", sa.String, nullable=False),
        sa.Column("timezone", sa.String, nullable=False),
        sa.Column("holidays", sa.String, nullable=False),
        sa.Column("activation", sa.String, nullable=False),
        sa.Column("contacts", sa.JSON, nullable=False),
        sa.Column("hidden", sa.Boolean, nullable=False),
        sa.Column("skip_proofs", sa.JSON, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
    )
    op.create_table(
        "domains",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String, nullable=False, unique=True),
        sa.Column("appliance_id", sa.Integer, sa.ForeignKey("appliances.id"), nullable=False, index=True),
        sa.Column("recipients", sa.String, nullable=False),
        sa.Column("when_up", sa.String, nullable=False),
        sa.Column("lifetime", sa.Integer, nullable=False),
        sa.Column("quota", Number, nullable=False),
        sa.Column("until", sa.String),
        sa.Column("created_at", sa.Float, nullable=False),
    )
    op.create_table(
        "health",
        sa.Column("appliance_id", sa.Integer, sa.ForeignKey("appliances.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("since", sa.Float, nullable=False),
        sa.Column("offered_size", Number),
        sa.Column("offered_smtputf8", sa.Boolean),
        sa.Column("offered_8bitmime", sa.Boolean),
    )
    op.create_table(
        "continuity",
        sa.Column("appliance_id", sa.Integer, sa.ForeignKey("appliances.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("since", sa.Float, nullable=False),
        sa.Column("ready", sa.Boolean),
        sa.Column("failing_proofs", sa.JSON, nullable=False),
        sa.Column("outage_id", sa.Integer),
        sa.Column("operator_order", sa.String),
        sa.Column("operator_name", sa.String),
        sa.Column("operator_at", sa.Float),
        sa.Column("doubt_since", sa.Float),
        sa.Column("priority", sa.Integer),
        sa.Column("downs", sa.JSON, nullable=False),
    )
    op.create_table(
        "outages",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column(
            "appliance_id", sa.Integer, sa.ForeignKey("appliances.id", ondelete="CASCADE"), nullable=False, index=True
        ),
        sa.Column("began_at", sa.Float, nullable=False),
        sa.Column("taken_over_at", sa.Float),
        sa.Column("returned_at", sa.Float),
        sa.Column("drained_at", sa.Float),
        sa.Column("ended_at", sa.Float),
        sa.Column("reason", sa.String, nullable=False),
    )
    op.create_table(
        "maintenance",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column(
            "appliance_id", sa.Integer, sa.ForeignKey("appliances.id", ondelete="CASCADE"), nullable=False, index=True
        ),
        sa.Column("starts_at", sa.Float, nullable=False),
        sa.Column("ends_at", sa.Float, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("created_by", sa.String, nullable=False),
    )
    op.create_table(
        "findings",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("appliance_id", sa.Integer, sa.ForeignKey("appliances.id", ondelete="CASCADE"), nullable=False),
        sa.Column("domain", sa.String, nullable=False),
        sa.Column("condition", sa.String, nullable=False),
        sa.Column("evidence", sa.String, nullable=False),
        sa.Column("since", sa.Float, nullable=False),
        sa.UniqueConstraint("appliance_id", "domain", "condition"),
    )
    facts_version = op.create_table(
        "facts_version",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
    )
    op.bulk_insert(facts_version, [{"id": 1, "version": 1}])
