"""Tables of continuity: the evidence of each proof, and what was done about each appliance. Times are POSIX seconds."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, ForeignKey, Integer, String, Table

from relay.db import metadata

# One row an appliance and proof: the last result. ``last_good_at``: when it last held.
proofs = Table(
    "proofs",
    metadata,
    Column("appliance_id", ForeignKey("appliances.id", ondelete="CASCADE"), primary_key=True),
    Column("name", String, primary_key=True),
    Column("ok", Boolean, nullable=False),
    Column("evidence", String, nullable=False),
    Column("at", Float, nullable=False),
    Column("last_good_at", Float),
)

# Only ever appended to. ``before`` and ``after`` are states, or orders where an operator gave one.
failover_history = Table(
    "failover_history",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("appliance_id", ForeignKey("appliances.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("outage_id", Integer),
    Column("actor", String, nullable=False),
    Column("before", String, nullable=False),
    Column("after", String, nullable=False),
    Column("reason", String, nullable=False),
)
