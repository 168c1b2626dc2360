"""Table of the edge: how often it said no."""

from __future__ import annotations

from sqlalchemy import Column, Integer, PrimaryKeyConstraint, String, Table

from relay.db import metadata

# Refusals by hour (POSIX seconds // 3600), Gold domain (empty where none was known yet) and reason; a node adds to rows
# of its own, and reading sums them.
refusals = Table(
    "refusals",
    metadata,
    Column("hour", Integer, nullable=False),
    Column("domain", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("node", String, nullable=False),
    Column("count", Integer, nullable=False),
    PrimaryKeyConstraint("hour", "domain", "reason", "node"),
)
