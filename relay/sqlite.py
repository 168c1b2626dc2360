"""A database in a SQLite file: how a connection is prepared, how transactions begin, what its errors mean.

Promises: a connection that ``open`` returns keeps what it has committed (WAL with synchronous=FULL, read back). The
only writer at a time is whoever began with BEGIN IMMEDIATE, so that a transaction never fails half way for a lock.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Literal

from relay.errors import DatabaseBusy, DatabaseError, DatabaseFull, DatabaseMissing

BUSY_TIMEOUT = 10.0
"""Seconds a statement waits for another process's write before it fails."""
PAGE_SIZE = 8192
"""Bytes of a page of a new database: content takes several, and each costs two writes on its way to the WAL."""

PREFIX = "sqlite:///"


class SqliteFile:
    """``url``: sqlite:///path; ``direct`` is for other kinds of database."""

    dialect: Literal["sqlite"] = "sqlite"
    errors = (sqlite3.DatabaseError,)

    def __init__(self, url: str, direct: str = "") -> None:
        self.engine_url = url
        self.path = Path(url.removeprefix(PREFIX))
        self.name = str(self.path)
        """For people."""

    def look(self) -> None:
        """Raises DatabaseMissing where there is no file, which opening would make."""
        if not self.path.is_file():
            raise DatabaseMissing(f"no database at {self.path}; 'relayctl init' makes one")

    def make(self) -> None:
        """Make the file, where there is none. Raises OSError, sqlite3.Error."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists() and self.path.stat().st_size:
            return
        self.path.touch(mode=0o660)  # mail is nobody else's business; SQLite gives its other files the same mode
        # These can be set only before the first table, and WAL outside of any transaction.
        with sqlite3.connect(self.path) as raw:
            raw.execute(f"PRAGMA page_size={PAGE_SIZE}")
            raw.execute("PRAGMA auto_vacuum=INCREMENTAL")
            raw.execute("PRAGMA journal_mode=WAL")
        raw.close()

    def open(self) -> sqlite3.Connection:
        """A connection for any thread, one at a time. Raises DatabaseError, sqlite3.Error."""
        raw = sqlite3.connect(self.path, cached_statements=512, check_same_thread=False)
        try:
            _prepare(raw)
        except BaseException:
            raw.close()
            raise
        return raw

    def listener(self) -> None:
        """Nobody tells anything here."""

    def begin(self, writes: bool, beside: bool) -> str:
        """The statement that begins a transaction; nobody writes ``beside`` others here."""
        return "BEGIN IMMEDIATE" if writes else "BEGIN"

    unfinished = ""
    """A file that is restored takes its place in one step."""

    def ended(self, cause: BaseException) -> bool:
        """Whether a connection is of no more use after this error, though the driver doesn't know."""
        return False

    def words(self, cause: BaseException) -> DatabaseError:
        """What an error of the driver is for a person, in one line."""
        said = str(cause)
        if "locked" in said or "busy" in said:
            return DatabaseBusy(f"{self.path} is locked by another process; try again")
        if "readonly" in said or "unable to open" in said:
            # WAL needs it of readers too: they write to its -shm file.
            return DatabaseError(f"{self.path}: {said}; this user needs the right to write to it and its folder")
        if "is full" in said:
            return DatabaseFull(f"{self.path}: {said}")
        return DatabaseError(f"{self.path}: {said}")


def _prepare(raw: sqlite3.Connection) -> None:
    """Set up one connection, and read back what 'durable' rests on. Raises DatabaseError."""
    raw.isolation_level = None  # we say BEGIN ourselves
    cursor = raw.cursor()
    cursor.execute(f"PRAGMA busy_timeout={int(BUSY_TIMEOUT * 1000)}")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA temp_store=MEMORY")
    found = {
        name: cursor.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous", "auto_vacuum")
    }
    cursor.close()
    if found != {"journal_mode": "wal", "synchronous": 2, "auto_vacuum": 2}:
        raise DatabaseError(f"this database can't promise to keep mail: {found}, wanted wal, 2 (FULL), 2 (INCREMENTAL)")
