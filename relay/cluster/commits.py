"""Hearing that somebody has committed something, in this process or another: what relay.cluster.wake looks at then.

SQLite is asked for its data_version, a few microseconds each time; PostgreSQL tells (NOTIFY, by triggers of the tables
that are looked at). What was told while a connection was lost isn't told again: whoever has a new one looks at once.
Where a pooler is in the way and no way past it is known, nothing is told, and one looks every second. Used in one
thread.
"""

from __future__ import annotations

import sqlite3
import time
from typing import Protocol

import psycopg

from relay.db import Database

EVERY = 0.25
"""Seconds that :meth:`Commits.heard` waits at most."""
UNTOLD = 1.0
"""Seconds between looks where nobody tells."""
ANYWAY = 5.0
"""Seconds after which one looks although nobody told."""
CHANNEL = "relay"


class Commits(Protocol):
    """Made by :func:`commits`; any error ends it: make another."""

    def heard(self) -> bool:
        """Wait a moment; whether there is something to look at. The first time there is. Raises DatabaseError."""
        ...

    def close(self) -> None: ...


def commits(db: Database) -> Commits:
    """Raises DatabaseError."""
    return SqliteCommits(db) if db.dialect == "sqlite" else PostgresCommits(db)


class SqliteCommits:
    def __init__(self, db: Database) -> None:
        self._raw: sqlite3.Connection = db.raw()
        self._seen: int | None = None

    def heard(self) -> bool:
        if self._seen is not None:
            time.sleep(EVERY)
        before = self._seen
        (self._seen,) = self._raw.execute("PRAGMA data_version").fetchone()
        return self._seen != before

    def close(self) -> None:
        self._raw.close()


class PostgresCommits:
    def __init__(self, db: Database) -> None:
        self._db = db
        self._raw: psycopg.Connection | None = db.listener()
        self._looked_at = float("-inf")
        if self._raw is not None:
            self._raw.execute(f"LISTEN {CHANNEL}")

    def heard(self) -> bool:
        due = self._looked_at + (ANYWAY if self._raw else UNTOLD)
        if self._raw is None:
            time.sleep(EVERY)
            told = False
        else:
            try:
                told = bool(list(self._raw.notifies(timeout=EVERY, stop_after=1)))
            except psycopg.Error as error:
                raise self._db.words(error) from error
        if not told and time.monotonic() < due:
            return False
        self._looked_at = time.monotonic()
        return True

    def close(self) -> None:
        if self._raw is not None:
            self._raw.close()
