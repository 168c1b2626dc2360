"""The database: one engine, short transactions, and threads of its own so that nothing here blocks the loop.

Promises: a write that returns is on disk; of the transactions that write one is under way at a time, in the whole
cluster, so that what a transaction has read stays true until it ends; a connection whose server was restarted is
replaced before it is used; a database from another version of the program is refused in words, unless that version has
said that this one may go on (relay.revisions). What differs between SQLite and PostgreSQL is in relay.sqlite and
relay.postgres. Does not know any table: rooms define theirs on ``metadata`` and migrations make them. The hot path of
mail has a connection and a thread of its own in relay.queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, MetaData, create_engine, event
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from relay import revisions as compatible
from relay.db.turns import FairLock
from relay.db.versions import newer, revision_of, revisions
from relay.errors import DatabaseAway, DatabaseBusy, DatabaseError, DatabaseMissing, DatabaseOutdated
from relay.sqlite import BUSY_TIMEOUT, PREFIX, SqliteFile

if TYPE_CHECKING:
    from relay.postgres import PostgresServer

P = ParamSpec("P")
T = TypeVar("T")

READERS = 4

metadata = MetaData()


class Database:
    """A database that is there and of this program's version (``check=False``: whatever is there).

    ``direct``: another URL of the same database, that goes by no pooler. ``folder``: for what a node keeps on its own
    machine where the database is on a server. Raises DatabaseMissing, DatabaseOutdated,
    DatabaseNewer, DatabaseAway or DatabaseError when made.
    """

    def __init__(self, url: str, *, direct: str = "", folder: Path = Path("var"), check: bool = True) -> None:
        self.url = url
        self._place = place(url, direct)
        self.dialect = self._place.dialect
        self.path = self._place.path
        """Of the file; None on PostgreSQL."""
        self.name = self._place.name
        """For people; without a password."""
        self._folder = folder
        with self._plain_words():
            if check:
                self._place.look()
        self.engine = create_engine(
            self._place.engine_url,
            creator=self._place.open,
            pool_size=READERS + 2,
            max_overflow=4,
            pool_timeout=BUSY_TIMEOUT,
            **({"use_native_hstore": False} if self.dialect == "postgresql" else {}),
        )
        event.listen(self.engine, "begin", self._begin)
        event.listen(self.engine, "handle_error", self._notice)
        self.away = ""
        """Why the server couldn't be reached when it was last needed; empty: it could."""
        self.told: Callable[[str], None] = lambda why: None
        """Is told whenever that begins (why) and ends (empty)."""
        self.write_lock = FairLock()
        """Held by whoever writes in this process: a fair turn instead of the database's polling."""
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
            found = revision_of(connection)
            # Newer, but so that this program may go on: an upgrade is on its way through the cluster.
            able = found not in revisions() and compatible.can_work(connection, revisions())
            self.refuse_unfinished(connection)
        if found is None:
            raise DatabaseMissing(f"{self.name} has no tables yet; 'relayctl init' makes them")
        if found not in revisions() and not able:
            raise newer(self.name)
        if found != revisions()[-1] and not able:
            raise DatabaseOutdated(f"{self.name} is older than this program; run 'relayctl db upgrade'")

    def refuse_unfinished(self, connection: Connection) -> None:
        """Raises DatabaseError where a restore has not come to its end."""
        if self._place.unfinished and connection.exec_driver_sql(self._place.unfinished).first():
            raise DatabaseError(
                f"{self.name}: a restore is under way, or was broken off; then 'relayctl db restore' again puts back "
                "what was there before, and begins anew"
            )

    def raw(self) -> Any:
        """A connection of the driver for its own use, which keeps what it commits; in autocommit, so that BEGIN is the
        caller's: sqlite3.Connection or psycopg.Connection. Raises DatabaseError."""
        with self._plain_words():
            return self._place.open()

    def listener(self) -> Any:
        """A psycopg.Connection that hears NOTIFY; None where there is no such thing, and one has to look by oneself.

        Raises DatabaseError."""
        with self._plain_words():
            return self._place.listener()

    def own_file(self, name: str) -> Path:
        """Where a node has a file of its own on this machine."""
        return self._folder / name if self.path is None else Path(f"{self.path}.{name}")

    def words(self, error: BaseException) -> DatabaseError:
        """What an error of the driver, or of SQLAlchemy, is for a person."""
        return self._noted(self._place.words(getattr(error, "orig", None) or error))

    def _noted(self, error: DatabaseError) -> DatabaseError:
        if isinstance(error, DatabaseAway):
            self._note(str(error))
        return error

    def _note(self, away: str) -> None:
        before, self.away = self.away, away
        if bool(before) != bool(away):
            self.told(away)

    def make(self) -> None:
        """Make the place for the tables, as far as that is ours to make. Raises DatabaseError."""
        with self._plain_words():
            self._place.make()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that reads, all of it as of one moment; keep it under a second, page by key.

        Raises DatabaseBusy, DatabaseAway, DatabaseError.
        """
        with self._plain_words(), self._begun() as connection:
            yield connection
            connection.commit()
            self._note("")

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that writes, durable when the block ends. Raises DatabaseBusy, DatabaseAway, DatabaseError."""
        with self.write_lock, self._plain_words(), self._begun(writes=True) as connection:
            yield connection
            self._commit(connection)
            self._note("")

    @contextmanager
    def write_beside(self) -> Iterator[Connection]:
        """The same, but on PostgreSQL it waits for no other transaction: nothing that was read stays true unless the
        caller locks it. On SQLite it is as :meth:`write`."""
        if self.dialect == "sqlite":
            with self.write() as connection:
                yield connection
            return
        with self._plain_words(), self._begun(writes=True, beside=True) as connection:
            yield connection
            self._commit(connection)
            self._note("")

    def _commit(self, connection: Connection) -> None:
        """Raises DatabaseAway, which says so, where the answer alone may have been lost."""
        try:
            connection.commit()
        except DBAPIError as error:
            told = self.words(error)
            if isinstance(told, DatabaseAway):
                raise DatabaseAway(
                    f"{told}; it isn't known whether the change was made: look before you repeat it"
                ) from error
            raise

    def _begun(self, **how: bool) -> Connection:
        """A connection in a transaction, rolled back where nobody commits it.

        One from the pool may have died with its server unnoticed; then nothing is lost by trying a new one.
        """
        for again in (True, False):
            connection = self.engine.connect().execution_options(**how)
            try:
                connection.begin()
            except BaseException as error:
                connection.close()
                if not (again and isinstance(error, DBAPIError) and error.connection_invalidated):
                    raise
            else:
                break
        return connection

    def _begin(self, connection: Connection) -> None:
        how = connection.get_execution_options()
        statement = self._place.begin(how.get("writes", False), how.get("beside", False))
        # Without parameters, for several statements in one go.
        connection.exec_driver_sql(statement, execution_options={"no_parameters": True})

    def _notice(self, context: Any) -> None:
        if self._place.ended(context.original_exception):
            context.is_disconnect = True

    @contextmanager
    def _plain_words(self) -> Iterator[None]:
        """Turn the driver's exceptions into ours, one line each."""
        try:
            yield
        except IntegrityError:
            raise
        except DatabaseAway as error:
            raise self._noted(error) from error.__cause__
        except (DBAPIError, *self._place.errors) as error:
            raise self.words(error) from error
        except PoolTimeout as error:
            raise DatabaseBusy(f"{self.name}: all connections are in use; try again") from error
        except OSError as error:
            raise DatabaseError(f"{self.name}: {error.strerror or error}") from error

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


def server_time(connection: Connection) -> float | None:
    """POSIX seconds by the clock of the database's server; None on SQLite, whose clock is that of whoever asks."""
    if connection.dialect.name == "sqlite":
        return None
    return float(connection.exec_driver_sql("SELECT extract(epoch FROM clock_timestamp())::float8").scalar_one())


def place(url: str, direct: str = "") -> SqliteFile | PostgresServer:
    """Where the database is. Raises DatabaseError for a URL that says nothing."""
    if url.startswith(PREFIX):
        return SqliteFile(url)
    from relay.postgres import PostgresServer  # with its driver, which takes longer to load than some commands to run

    return PostgresServer(url, direct)
