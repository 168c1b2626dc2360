"""The database: one engine, short transactions, and threads of its own so that nothing here blocks the loop.

Promises: a write that returns is on disk (SQLite: WAL with synchronous=FULL, both read back on every connection);
each transaction that writes opens with BEGIN IMMEDIATE, so that it never fails half way for a lock; a database from
another version of the program is refused in words. Does not know any table: rooms define theirs on ``metadata`` and
migrations make them. The hot path of mail has a connection and a thread of its own in relay.queue.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, MetaData, create_engine, event, inspect
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DatabaseError as SqlError
from sqlalchemy.exc import OperationalError

from relay.errors import DatabaseBusy, DatabaseError, DatabaseMissing, DatabaseNewer, DatabaseOutdated

P = ParamSpec("P")
T = TypeVar("T")

BUSY_TIMEOUT = 10.0
"""Seconds a statement waits for another process's write before it fails."""
READERS = 4
PAGE_SIZE = 8192
"""Bytes of a page of a new database: content takes several, and each costs two writes on its way to the WAL."""
MIGRATIONS = Path(__file__).parent / "migrations"

metadata = MetaData()


class FairLock:
    """A lock that is had in the order of asking.

    threading.Lock goes to whoever is quickest, and a thread that writes without a pause is always quicker than one
    that has to be woken.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._held = False
        self._turns: deque[threading.Lock] = deque()

    def __enter__(self) -> None:
        with self._guard:
            if not self._held:
                self._held = True
                return
            turn = threading.Lock()
            turn.acquire()
            self._turns.append(turn)
        turn.acquire()  # released by whoever hands it on, who leaves _held as it is

    def __exit__(self, *_: object) -> None:
        with self._guard:
            if self._turns:
                self._turns.popleft().release()
            else:
                self._held = False


class Database:
    """A database that is there and of this program's version (``check=False``: whatever is there).

    Raises DatabaseMissing, DatabaseOutdated, DatabaseNewer or DatabaseError when made.
    """

    def __init__(self, url: str, *, check: bool = True) -> None:
        self.url = url
        self.path = database_path(url)
        with _plain_words(self.path):
            if check and not self.path.is_file():
                raise DatabaseMissing(f"no database at {self.path}; 'relayctl init' makes one")
        self.engine = create_engine(url, pool_size=READERS + 2, max_overflow=4, pool_timeout=BUSY_TIMEOUT)
        event.listen(self.engine, "connect", _prepare)
        event.listen(self.engine, "begin", _begin)
        self.write_lock = FairLock()
        """Held by whoever writes in this process: a fair turn instead of SQLite's polling."""
        self._readers = ThreadPoolExecutor(READERS, "db-read")
        self._writers = ThreadPoolExecutor(1, "db-write")
        if check:
            try:
                self._check()
            except BaseException:
                self.close()
                raise

    def _check(self) -> None:
        with self.read() as connection:
            found = _revision(connection)
        if found is None:
            raise DatabaseMissing(f"{self.path} has no tables yet; 'relayctl init' makes them")
        if found not in revisions():
            raise _newer(self.path)
        if found != revisions()[-1]:
            raise DatabaseOutdated(f"{self.path} is older than this program; run 'relayctl db upgrade'")

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that reads; keep it under a second, page by key. Raises DatabaseBusy, DatabaseError."""
        with _plain_words(self.path), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that writes, durable when the block ends. Raises DatabaseBusy, DatabaseError."""
        with self.write_lock, _plain_words(self.path), self.engine.connect() as connection:
            connection = connection.execution_options(immediate=True)
            with connection.begin():
                yield connection

    async def run(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """``work(connection, …)`` in a transaction that reads, in a thread."""

        def task() -> T:
            with self.read() as connection:
                return work(connection, *args, **kwargs)

        return await asyncio.get_running_loop().run_in_executor(self._readers, task)

    async def change(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """``work(connection, …)`` in a transaction that writes, in a thread; on disk when this returns."""

        def task() -> T:
            with self.write() as connection:
                return work(connection, *args, **kwargs)

        return await asyncio.get_running_loop().run_in_executor(self._writers, task)

    def close(self) -> None:
        self._readers.shutdown()
        self._writers.shutdown()
        self.engine.dispose()


def database_path(url: str) -> Path:
    return Path(make_url(url).database or "")


def revisions() -> list[str]:
    """What this program knows, oldest first: a migration's file has the name of its revision, and they are in a row.

    Alembic, which takes longer to load than most commands to run, is needed for upgrading alone.
    """
    return sorted(path.stem for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def _revision(connection: Connection) -> str | None:
    """The revision that the database is at; None where it has no tables yet."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return found


def _newer(path: Path) -> DatabaseNewer:
    return DatabaseNewer(f"{path} was made by a newer version of this program; install that version")


def upgrade(url: str) -> tuple[str | None, str]:
    """Make the database, or bring it up to date; returns (revision before, revision after). Raises DatabaseError."""
    from alembic import command
    from alembic.config import Config

    path = database_path(url)
    with _plain_words(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = not path.exists() or path.stat().st_size == 0
        if fresh:
            path.touch(mode=0o660)  # mail is nobody else's business; SQLite gives its other files the same mode
            # These can be set only before the first table, and WAL outside of any transaction.
            with sqlite3.connect(path) as raw:
                raw.execute(f"PRAGMA page_size={PAGE_SIZE}")
                raw.execute("PRAGMA auto_vacuum=INCREMENTAL")
                raw.execute("PRAGMA journal_mode=WAL")
            raw.close()
        database = Database(url, check=False)
        try:
            with database.write() as connection:
                before = _revision(connection)
                if before is not None and before not in revisions():
                    raise _newer(path)
                config = Config()
                config.set_main_option("script_location", str(MIGRATIONS))
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
                after = _revision(connection)
        finally:
            database.close()
    return before, str(after)


@contextmanager
def _plain_words(path: Path) -> Iterator[None]:
    """Turn the driver's exceptions into ours, one line each."""
    try:
        yield
    except (OperationalError, sqlite3.OperationalError) as error:
        cause = getattr(error, "orig", error)
        if "locked" in str(cause) or "busy" in str(cause):
            raise DatabaseBusy(f"{path} is locked by another process; try again") from error
        if "readonly" in str(cause) or "unable to open" in str(cause):
            # WAL needs it of readers too: they write to its -shm file.
            raise DatabaseError(f"{path}: {cause}; this user needs the right to write to it and its folder") from error
        raise DatabaseError(f"{path}: {cause}") from error
    except (SqlError, sqlite3.DatabaseError) as error:
        if type(error).__name__ == "IntegrityError":
            raise
        raise DatabaseError(f"{path}: {getattr(error, 'orig', error)}") from error
    except OSError as error:
        raise DatabaseError(f"{path}: {error.strerror or error}") from error


def prepare(raw: sqlite3.Connection) -> None:
    """Set up one SQLite connection, and read back what 'durable' rests on. Raises DatabaseError."""
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


def _prepare(raw: sqlite3.Connection, _record: Any) -> None:
    prepare(raw)


def _begin(connection: Connection) -> None:
    immediate = connection.get_execution_options().get("immediate")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
