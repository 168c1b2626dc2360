"""What the queue says to the database, on either engine: the hot statements, and a way to say the plain ones.

One implementation for each engine (``sqlite.py``, ``postgres.py``), written by hand for what that engine does best.
Everything works inside a transaction of the caller's, and is rolled back whole if anything raises.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import Connection

from relay.queue.ledger import Deltas
from relay.queue.states import Reason, State

if TYPE_CHECKING:
    from relay.queue.commands import Accept, Change

Row = tuple[Any, ...]


class Result(Protocol):
    """Rows, as the cursors of both drivers give them."""

    @property
    def rowcount(self) -> int: ...

    def fetchone(self) -> Row | None: ...

    def fetchall(self) -> list[Row]: ...

    def __iter__(self) -> Iterator[Row]: ...


class Statements(Protocol):
    """One engine's, on one connection."""

    def execute(self, query: str, values: Sequence[Any] = ()) -> Result:
        """A statement that both engines understand, with ``?`` for each value."""

    def executemany(self, query: str, values: Sequence[Sequence[Any]]) -> object:
        """The same statement with each of these values."""

    def accept(self, accepts: Sequence[Accept], deltas: Deltas) -> list[list[int]]:
        """Store messages; the numbers that each got. Raises LookupError where an upload, or a domain, is gone."""

    def change(self, changes: Iterable[Change], deltas: Deltas, now: float) -> list[bool]:
        """Carry out what is legal (relay.queue.changing), for each whether it took place, and remove messages of which
        nobody waits any more, with content that no other message needs; their trace stays."""

    def add_deltas(self, node: str, deltas: Deltas) -> None:
        """Add what a transaction changed to the node's rows, in key order, one statement for each table."""

    def new_content(self) -> int:
        """A number for content that arrives in pieces."""

    def standing(self, ids: Sequence[int], state: State, reason: Reason | None) -> int:
        """How many of these recipients stand so, and do until the transaction ends."""

    def quarantined(self, before: float, limit: int) -> list[Row]:
        """(id, message, address, last reply) of recipients of messages that were quarantined before then."""

    def delivered(
        self, appliance_id: int, addresses: Sequence[str], since: float, before: float, first: int, last: int
    ) -> set[str]:
        """Those of the addresses (in lower case) to whom the traces from first to last tell of a delivery then."""

    def due(
        self, appliance_id: int, first: int, end: int, now: float, *, newest: bool, limit: int
    ) -> Callable[[], Iterable[Row]]:
        """DUE of recipients that are due, whose messages have one with an id in [first, end) on this page. What is
        returned gives the rows, in any thread."""

    def contents(self, messages: Collection[int]) -> Iterable[Row]:
        """(message, packed, data) of all pieces of these messages' contents, in order."""

    def close(self) -> None:
        """The connection."""


DUE = (
    "m.id, m.appliance_id, m.sender, m.size, m.received_at, m.body, m.smtputf8, m.ret, m.envid,"
    " m.client_ip, m.client_port, m.client_helo, m.client_protocol,"
    " r.id, r.address, r.notify, r.orcpt, r.attempts, r.domain, r.outage_id"
)
"""What is read of a recipient that is due, and of its message."""


def statements_on(connection: Connection) -> Statements:
    """Those of the engine behind ``connection``, in the transaction that is open there."""
    return on(connection.dialect.name, connection.connection.driver_connection)


def on(dialect: str, raw: Any) -> Statements:
    """Those of an engine, on a connection of its driver."""
    if dialect == "sqlite":
        from relay.queue.sqlite import SqliteStatements

        return SqliteStatements(raw)
    from relay.queue.postgres import PostgresStatements

    return PostgresStatements(raw)
