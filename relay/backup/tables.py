"""Tables about the database itself. Times are POSIX seconds, sizes bytes."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Float, Integer, String, Table

from relay.db import metadata

# ``made_at``: the moment that it shows; ``seconds``: how long it took; ``sound``: no fault was found in it.
database_backups = Table(
    "database_backups",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("made_at", Float, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("place", String, nullable=False),
    Column("size", BigInteger().with_variant(Integer(), "sqlite"), nullable=False),
    Column("sound", Boolean, nullable=False),
)

# ``made_at``: of the backup; ``held``: its mail waits until somebody releases it.
database_restores = Table(
    "database_restores",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("restored_at", Float, nullable=False),
    Column("made_at", Float, nullable=False),
    Column("place", String, nullable=False),
    Column("restored_by", String, nullable=False),
    Column("held", Boolean, nullable=False),
)
