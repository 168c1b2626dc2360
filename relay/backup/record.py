"""The record of what was saved and brought back, in the database itself, so that no backup is forgotten.

Functions work inside the caller's transaction.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sqlalchemy import Connection, delete, func, insert, select

from relay.backup.tables import database_backups, database_restores

KEPT = 100
"""Backups that are remembered."""


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that was made. ``made_at``: the moment that it shows; ``sound``: no fault was found in it."""

    made_at: float
    seconds: float
    place: str
    size: int
    sound: bool


@dataclass(frozen=True, slots=True)
class Restored:
    """What this database was before it went on from here. ``made_at``: of the backup; ``held``: so was its mail."""

    restored_at: float
    made_at: float
    place: str
    restored_by: str
    held: bool


def remember(connection: Connection, made: Made) -> None:
    """Note a backup, and forget those long before it."""
    connection.execute(insert(database_backups).values(**asdict(made)))
    newest = select(database_backups.c.id).order_by(database_backups.c.id.desc()).limit(KEPT)
    connection.execute(delete(database_backups).where(database_backups.c.id.not_in(newest)))


def last_sound(connection: Connection) -> Made | None:
    """The newest backup without a fault."""
    query = select(database_backups).where(database_backups.c.sound).order_by(database_backups.c.made_at.desc())
    row = connection.execute(query.limit(1)).first()
    return None if row is None else Made(row.made_at, row.seconds, row.place, row.size, row.sound)


def remember_restore(connection: Connection, restored: Restored) -> None:
    connection.execute(insert(database_restores).values(**asdict(restored)))


def last_restore(connection: Connection) -> Restored | None:
    last = select(func.max(database_restores.c.id)).scalar_subquery()
    row = connection.execute(select(database_restores).where(database_restores.c.id == last)).first()
    return None if row is None else Restored(row.restored_at, row.made_at, row.place, row.restored_by, row.held)
