"""Tables of who exists at a domain."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, ForeignKey, Integer, String, Table

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

# What the primaries answered for recipients. ``answer`` is ``accepted``, ``rejected`` or, so that nodes which remember
# it hear of it, ``forgotten``; ``local`` is empty for what is true of everybody (a wildcard). ``number`` grows with
# each write: who has read up to one needs only what is above it.
recipients_learned = Table(
    "recipients_learned",
    metadata,
    Column("domain_id", ForeignKey("domains.id", ondelete="CASCADE"), primary_key=True),
    Column("local", String, primary_key=True),
    Column("answer", String, nullable=False),
    Column("first_at", Float, nullable=False),
    Column("last_at", Float, nullable=False),
    Column("confirmations", Integer, nullable=False),
    Column("doubts", Integer, nullable=False),
    Column("doubted_at", Float),
    Column("number", BigInteger, nullable=False, index=True),
)
