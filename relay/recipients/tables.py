"""Tables of who exists at a domain."""

from __future__ import annotations

from sqlalchemy import Column, Float, ForeignKey, Integer, String, Table

from relay.db import metadata

# ``local``: the part before the @, in lower case.
recipients_list = Table(
    "recipients_list",
    metadata,
    Column("domain_id", ForeignKey("domains.id", ondelete="CASCADE"), primary_key=True),
    Column("local", String, primary_key=True),
    Column("added_at", Float, nullable=False),
)

# One row: raised by whatever changes the table above.
recipients_version = Table(
    "recipients_version",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("version", Integer, nullable=False),
)
