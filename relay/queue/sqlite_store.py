"""The writer's store on SQLite: transactions of whole batches, what their failures mean, and the file's housekeeping.

Promises: carry_out() has committed, with synchronous=FULL read back at the start, or has changed nothing. Used in the
writer's thread alone.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from relay.clock import Clock
from relay.db import Database
from relay.errors import Deferred
from relay.queue.batch import carry_out
from relay.queue.ledger import Deltas
from relay.queue.space import disk_free
from relay.queue.sqlite import SqliteStatements
from relay.queue.sums import Sums
from relay.queue.writer import DiskFull, Fault

CHECKPOINT_PAGES = 2000
"""Pages of WAL after which SQLite moves them into the database by itself (16 MB)."""
WAL_LIMIT = 256 * 1024 * 1024
"""Bytes of WAL past which it is truncated, which needs a moment without readers."""
TRUNCATE_WAIT = 0.2
"""Seconds that a truncation waits for readers before it is put off."""
SLACK_PAGES = 500
"""Free pages that stay in the file, to be used again."""
SLICE_PAGES = 1000
"""Free pages given back at a time: some 15 ms."""
REFRESH = 0.5
"""Seconds between two looks at what other processes changed and at the size of the WAL."""

_FULL = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_IOERR | 19 << 8,  # SQLITE_IOERR_SHMSIZE: no room for the index of the WAL; nothing was written yet
}
_FATAL = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_READONLY}


class SqliteStore:
    """``node``: whose rows the sums are added to."""

    def __init__(self, db: Database, clock: Clock, node: str, sums: Sums) -> None:
        self._db = db
        self._clock = clock
        self._node = node
        self._sums = sums
        self._wal = Path(f"{db.name}-wal")
        self._page_size = 0
        self._connection: sqlite3.Connection
        self._statements: SqliteStatements
        self._room = 0  # bytes that mail may still use, at the last look: the disk's, and the free pages of the file
        self._reusable = 0  # bytes of those pages when they were last counted, less what came since
        self._keep_free = 0
        self._version = -1
        self._looked_at = float("-inf")

    def open(self) -> None:
        connection = self._db.raw()
        connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
        # Debian's SQLite overwrites what is deleted with zeros, and so writes all mail once more when it leaves.
        connection.execute("PRAGMA secure_delete=FAST")
        self._connection = connection
        self._statements = SqliteStatements(connection)
        (self._page_size,) = connection.execute("PRAGMA page_size").fetchone()
        self.tidy()

    def close(self) -> None:
        self._connection.close()

    def reconfigure(self, min_disk_free: int, database_capacity: int) -> None:
        self._keep_free = min_disk_free  # how large the disk is it says itself

    def disk_free(self) -> int:
        return disk_free(Path(self._db.name), self._keep_free)

    def check(self) -> None:
        if self._room <= 0:
            raise Deferred(452, "4.3.1", "no room left to store mail, try again later")

    def carry_out(self, commands: Sequence[Any]) -> list[Any]:
        connection = self._connection
        deltas = Deltas()
        weight = sum(command.weight for command in commands)
        if weight and self._look_at_the_disk() < weight and self._look_at_room() < weight:
            raise DiskFull(f"{self._room} bytes left for mail, {weight} wanted")
        with self._db.write_lock:
            connection.execute("BEGIN IMMEDIATE")
            try:
                results = carry_out(self._statements, commands, self._node, self._clock.now(), deltas)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        self._reusable = max(0, self._reusable - weight)
        self._sums.add(deltas)
        return results

    def fault(self, error: BaseException) -> Fault:
        if isinstance(error, MemoryError | DiskFull):
            return Fault.FULL
        code = getattr(error, "sqlite_errorcode", None)
        if code is None:
            return Fault.OTHER
        if code in _FULL:
            return Fault.FULL
        if code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return Fault.BUSY
        return Fault.FATAL if code & 0xFF in _FATAL else Fault.OTHER

    def tidy(self) -> None:
        """Look at what others changed and at the WAL, if the last look was long enough ago."""
        if self._clock.monotonic() - self._looked_at < REFRESH:
            return
        self._looked_at = self._clock.monotonic()
        self._look_at_room()
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        if version != self._version:
            self._sums.read(self._statements)
            self._version = version
        if self._wal.exists() and self._wal.stat().st_size > WAL_LIMIT:
            self._truncate()

    def idle(self) -> bool:
        """Give a slice of free pages back to the disk."""
        free = self._free_pages()
        if free <= SLACK_PAGES:
            return False
        with self._db.write_lock:
            # Not execute(): that would step once, and free one page.
            self._connection.executescript(f"PRAGMA incremental_vacuum({min(free - SLACK_PAGES, SLICE_PAGES)})")
        return free > SLACK_PAGES + SLICE_PAGES

    def _free_pages(self) -> int:
        return int(self._connection.execute("PRAGMA freelist_count").fetchone()[0])

    def _look_at_room(self) -> int:
        self._reusable = self._free_pages() * self._page_size
        return self._look_at_the_disk()

    def _look_at_the_disk(self) -> int:
        """The room without counting the file's free pages, which takes as long as a short transaction."""
        self._room = disk_free(Path(self._db.name), self._keep_free) + self._reusable
        return self._room

    def _truncate(self) -> None:
        (usual,) = self._connection.execute("PRAGMA busy_timeout").fetchone()
        self._connection.execute(f"PRAGMA busy_timeout={int(TRUNCATE_WAIT * 1000)}")
        with self._db.write_lock:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        self._connection.execute(f"PRAGMA busy_timeout={usual}")
