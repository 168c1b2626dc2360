"""Table of the customers' directories. Times are POSIX seconds."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, ForeignKey, Integer, String, Table

from relay.db import metadata

# One row an appliance: above, what operators set; below, how its sync stands. A password is in no column.
# ``lists``: {domain: [addresses, confirmed at]}; ``losses``: {domain: [addresses had, of these found]}.
directories = Table(
    "directories",
    metadata,
    Column("appliance_id", ForeignKey("appliances.id", ondelete="CASCADE"), primary_key=True),
    Column("urls", JSON, nullable=False),
    Column("bind_dn", String, nullable=False),
    Column("password_file", String, nullable=False),
    Column("tls", String, nullable=False),
    Column("ca_file", String, nullable=False),
    Column("every", Integer, nullable=False),
    Column("last_try_at", Float),
    Column("last_ok_at", Float),
    Column("failing_since", Float),
    Column("failures", Integer, nullable=False),
    Column("last_error", String, nullable=False),
    Column("lists", JSON, nullable=False),
    Column("losses", JSON, nullable=False),
)
