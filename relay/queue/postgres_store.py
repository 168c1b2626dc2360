"""The writer's store on PostgreSQL: transactions of whole batches, what their failures mean, and how it comes back.

Promises: carry_out() returns only what the server has said to be committed, on a connection whose durability was read
back; it doesn't return where the answer was lost, though the server may have committed (then nobody is told 250, and
a message may come twice). While the server is away nothing waits for it: everybody is refused at once, and it is
asked again at growing intervals of up to ``LONGEST_PAUSE``. Used in the writer's thread, but for what anybody may ask.

A batch is one transaction and, in pipeline mode, two or three round trips. It writes beside the turns that other
transactions take (relay.db), and locks what it goes by.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from relay.clock import Clock
from relay.db import Database
from relay.errors import DatabaseAway, DatabaseBusy, DatabaseError, DatabaseFull, Deferred
from relay.postgres import BUSY_TIMEOUT, SILENCE
from relay.queue.batch import carry_out
from relay.queue.ledger import Deltas
from relay.queue.postgres import PostgresStatements
from relay.queue.space import USED, reserve
from relay.queue.sums import Sums
from relay.queue.turnover import Turnover
from relay.queue.writer import DiskFull, Fault

REFRESH = 0.5
"""Seconds between two looks at what other nodes have changed."""
LOOK_AT_SIZE = 5.0
"""Seconds between two looks at the size of the database, which the server adds up file by file."""
SHARE = 0.02
"""Of its time that the writer spends on looking: where a look takes longer, the next one is later."""
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0
"""Seconds between two attempts to reach a server that is away."""
AGAIN = 3
"""Times that a batch is carried out where the server breaks it off because of somebody else's transaction."""
_CONFLICTS = ("40001", "40P01")
"""SQLSTATEs: serialisation, deadlock."""
_UNCONFIRMED = (None, "SyncRepWaitForLSN")
"""Where in the server a warning comes from that a commit may be on its own disk alone, or who knows. Others (an old
transaction id, a trigger's) come with commits that are as good as any: to refuse these would store mail twice."""

_LIMITS = (
    f"SELECT set_config('lock_timeout', '{int(BUSY_TIMEOUT * 1000)}', true),"
    f" set_config('idle_in_transaction_session_timeout', '{int(SILENCE * 1000)}', true),"
    " set_config('jit', 'off', true)"
)


class PostgresStore:
    """``node``: whose rows the sums are added to."""

    def __init__(self, db: Database, clock: Clock, node: str, sums: Sums) -> None:
        self._db = db
        self._clock = clock
        self._turnover = Turnover(node)
        self._sums = sums
        self._connection: psycopg.Connection[Any] | None = None
        self._away: DatabaseError | None = None
        self._pause = 0.0
        self._try_at = float("-inf")
        self._keep_free = 0
        self._capacity = 0
        self._used: int | None = None  # bytes of the volume at the last look, and what came since
        self._sums_due = self._size_due = float("-inf")

    # --- by anybody ---

    def reconfigure(self, min_disk_free: int, database_capacity: int) -> None:
        self._keep_free, self._capacity = min_disk_free, database_capacity

    def disk_free(self) -> int | None:
        if not self._capacity or self._used is None:
            return None
        return self._capacity - self._used - reserve(self._capacity, self._keep_free)

    def check(self) -> None:
        if self._away is not None:
            raise Deferred(451, "4.3.0", "mail can't be stored now, try again later")
        room = self.disk_free()
        if room is not None and room <= 0:
            raise Deferred(452, "4.3.1", "no room left to store mail, try again later")

    # --- by the writer's thread ---

    def open(self) -> None:
        self._fold(self._connected(), all_turns=True)
        self.tidy()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def carry_out(self, commands: Sequence[Any]) -> list[Any]:
        weight = sum(command.weight for command in commands)
        room = self.disk_free()
        if weight and room is not None and room < weight:
            raise DiskFull(f"{room} bytes left for mail, {weight} wanted")
        for left in reversed(range(AGAIN)):
            deltas = Deltas()
            try:
                results = self._transaction(self._connected(), commands, deltas)
                break
            except psycopg.Error as error:
                if error.sqlstate not in _CONFLICTS or not left:
                    raise self._db.words(error) from error
        if self._used is not None:
            self._used += weight
        self._sums.add(deltas)
        self._turnover.used(deltas)
        return results

    def _transaction(self, connection: psycopg.Connection[Any], commands: Sequence[Any], deltas: Deltas) -> list[Any]:
        warnings: list[str] = []

        def note(diagnostic: psycopg.errors.Diagnostic) -> None:
            if diagnostic.severity_nonlocalized == "WARNING" and diagnostic.source_function in _UNCONFIRMED:
                warnings.append(diagnostic.message_primary or "")

        connection.add_notice_handler(note)
        try:
            with connection.pipeline() as pipeline:
                connection.execute("BEGIN")
                connection.execute(_LIMITS)
                statements = PostgresStatements(connection, pipeline)
                results = carry_out(statements, commands, self._turnover.rows, self._clock.now(), deltas)
                commit = connection.execute("COMMIT")
            # Synchronous replication that somebody breaks off ends in a success with a warning.
            if commit.statusmessage != "COMMIT" or warnings:
                raise DatabaseAway(f"{self._db.name} has not confirmed a commit: {'; '.join(warnings)}")
        except BaseException as error:
            self._give_up(connection, error)
            raise
        finally:
            connection.remove_notice_handler(note)
        return results

    def _give_up(self, connection: psycopg.Connection[Any], error: BaseException) -> None:
        """Roll back; a connection that can't even do that, or has lost its right to write, is not used again."""
        try:
            if not isinstance(self._words(error), DatabaseAway):
                if connection.info.transaction_status is not TransactionStatus.IDLE:
                    connection.execute("ROLLBACK")
                return
        except psycopg.Error:
            pass
        self._lose(error)

    def _lose(self, error: BaseException) -> None:
        connection, self._connection = self._connection, None
        self._away = self._words(error)
        if connection is not None:
            connection.close()
            self._pause = 0.0

    def _connected(self) -> psycopg.Connection[Any]:
        """The connection, a new one where it was lost. Raises DatabaseAway at once where it is too early to ask."""
        if self._connection is not None:
            return self._connection
        if self._away is not None and self._clock.monotonic() < self._try_at:
            raise self._away
        try:
            self._connection = self._db.raw()
        except DatabaseError as error:
            self._pause = min(max(2 * self._pause, FIRST_PAUSE), LONGEST_PAUSE)
            self._try_at = self._clock.monotonic() + self._pause
            self._away = error
            raise
        self._away, self._pause = None, 0.0
        return self._connection

    def fault(self, error: BaseException) -> Fault:
        if isinstance(error, MemoryError | DiskFull):
            return Fault.FULL
        if self._away is not None:
            return Fault.AWAY
        match error:
            case DatabaseFull():
                return Fault.FULL
            case DatabaseBusy():
                return Fault.BUSY
            case DatabaseAway():
                return Fault.AWAY
        return Fault.OTHER

    def _words(self, error: BaseException) -> DatabaseError:
        if isinstance(error, DatabaseError):
            return error
        if isinstance(error, psycopg.Error):
            return self._db.words(error)
        return DatabaseError(str(error))

    def tidy(self) -> None:
        """Come back, where the server was away; look at what others changed and at the size, if that is due."""
        now = self._clock.monotonic()
        if self._away is None and now < self._sums_due and not self._turnover.due:
            return
        connection = self._connected()
        if self._turnover.due:
            self._fold(connection)
        try:
            self._sums.read(PostgresStatements(connection))
            took = self._clock.monotonic() - now
            self._sums_due = now + max(REFRESH, took / SHARE)
            if now >= self._size_due:
                self._look_at_size(connection)
        except psycopg.Error as error:
            self._give_up(connection, error)
            raise self._db.words(error) from error

    def _fold(self, connection: psycopg.Connection[Any], *, all_turns: bool = False) -> None:
        try:
            with connection.transaction():
                self._turnover.fold(connection, all_turns=all_turns)
        except psycopg.Error as error:
            self._give_up(connection, error)
            raise self._db.words(error) from error
        self._turnover.folded()

    def _look_at_size(self, connection: psycopg.Connection[Any]) -> None:
        began = self._clock.monotonic()
        ((self._used,),) = connection.execute(USED).fetchall()
        self._size_due = began + max(LOOK_AT_SIZE, (self._clock.monotonic() - began) / SHARE)

    def idle(self) -> bool:
        return False  # room is found again by the server's own vacuum
