"""Tables of who exists at a domain."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, ForeignKey, Integer, String, Table

from relay.db import metadata

# Each source of a domain has a list of its own, and of that list any number of editions: one that counts, and those
# that are being written or cleared away. An address counts as long as one source lists it.
# ``local``: in the form of relay.recipients.address; ``target``: what an alias stands for.
recipients_list = Table(
    "recipients_list",
    metadata,
    Column("domain_id", ForeignKey("domains.id", ondelete="CASCADE"), primary_key=True),
    Column("source", String, primary_key=True),
    Column("edition", Integer, primary_key=True),
    Column("local", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("target", String),
    Column("added_at", Float, nullable=False),
    sqlite_with_rowid=False,
)

# One row a list: the ``edition`` that counts, the highest that anybody has ``begun``, and the ``version`` (of the
# table below) of its last change. What a change does is seen with the update of this row, and not before.
recipients_lists = Table(
    "recipients_lists",
    metadata,
    Column("domain_id", ForeignKey("domains.id", ondelete="CASCADE"), primary_key=True),
    Column("source", String, primary_key=True),
    Column("edition", Integer, nullable=False),
    Column("begun", Integer, nullable=False),
    Column("version", Integer, nullable=False),
)

# One row: raised by whatever changes a list.
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
