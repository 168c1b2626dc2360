"""Whether a database is sound: what its engine says, whether ledger and mail agree, whether each content can be read.

Works beside running nodes: nothing is locked, content is read by slices; only the sums need one moment for all of them,
some seconds on a large queue.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator

import zstandard
from sqlalchemy import Connection, Row, inspect, select, text

from relay.db import Database
from relay.errors import DatabaseError
from relay.queue.content import unpack
from relay.queue.tables import PLACES, content, messages, reports
from relay.queue.verify import verify

ROWS = 50
"""Pieces of content, of at most 256 KiB, that are read in a transaction."""
MOST = 20
"""Faults of one kind that are told."""

Step = Callable[[], None]


def faults(db: Database, step: Step) -> list[str]:
    """Everything that is wrong, a plain line each. ``step``: called between transactions, raises what ends the work.

    Raises DatabaseBusy, DatabaseAway.
    """
    found: list[str] = []
    for part in (_engine, _sums, _contents, _report_contents):
        try:
            found += _few(list(part(db, step)))
        except DatabaseError as error:
            if type(error) is not DatabaseError:  # it can't be reached, or its disk is full: nothing was found out
                raise
            found.append(str(error))  # what is damaged can't always be read
            if part is _engine:
                break
    return found


def _few(lines: list[str]) -> list[str]:
    return lines if len(lines) <= MOST else [*lines[:MOST], f"… and {len(lines) - MOST} more of this kind"]


def _engine(db: Database, step: Step) -> Iterator[str]:
    yield from _sqlite(db, step) if db.dialect == "sqlite" else _postgresql(db, step)


def _sqlite(db: Database, step: Step) -> Iterator[str]:
    """Table by table, each with its indexes, in a transaction of its own."""
    with db.read() as connection:
        names = inspect(connection).get_table_names()
    for name in names:
        with db.read() as connection:
            lines = connection.execute(text(f'PRAGMA quick_check("{name}")')).scalars().all()
        yield from (f"SQLite, table {name}: {line}" for line in lines if line != "ok")
        step()


def _postgresql(db: Database, step: Step) -> Iterator[str]:
    """What checksums have found; each index against its table where amcheck is installed, else each row is read."""
    with db.read() as connection:
        failures = connection.execute(
            text("SELECT coalesce(sum(checksum_failures), 0) FROM pg_stat_database WHERE datname = current_database()")
        ).scalar_one()
        amcheck = connection.execute(text("SELECT 1 FROM pg_extension WHERE extname = 'amcheck'")).first()
        names = inspect(connection).get_table_names()
    if failures:
        yield f"PostgreSQL has found {failures} pages whose checksum is wrong"
    for name in names:
        step()
        if name == content.name:
            continue  # its rows are read below
        try:
            with db.read() as connection:
                if amcheck:
                    _check_indexes(connection, name)
                else:
                    connection.execute(text(f"SELECT count(md5(t::text)) FROM {name} AS t"))  # noqa: S608
        except DatabaseError as error:
            if type(error) is not DatabaseError:
                raise
            yield f"table {name}: {error}"


def _check_indexes(connection: Connection, table: str) -> None:
    connection.execute(
        text(
            "SELECT bt_index_check(i.indexrelid, true) FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid"
            " JOIN pg_am AS a ON a.oid = c.relam WHERE i.indrelid = to_regclass(:table) AND a.amname = 'btree'"
        ),
        {"table": table},
    )


def _sums(db: Database, step: Step) -> Iterator[str]:
    with db.read() as connection:
        found = verify(connection, file=False)
    step()
    yield from found


def _contents(db: Database, step: Step) -> Iterator[str]:
    last = -1
    while True:
        with db.read() as connection:
            rows = connection.execute(
                select(content).where(content.c.id > last).order_by(content.c.id).limit(ROWS)
            ).all()
            for row in rows:
                if complaint := _complaint(row.packed, row.data):
                    whose = select(messages.c.id).where(messages.c.content_id == row.id // PLACES)
                    numbers = ", ".join(map(str, connection.execute(whose).scalars())) or "none"
                    yield f"content of message {numbers} can't be read, piece {row.id % PLACES}: {complaint}"
        if not rows:
            return
        last = rows[-1].id
        step()


def _report_contents(db: Database, step: Step) -> Iterator[str]:
    with db.read() as connection:
        rows: list[Row[tuple[int, bool, bytes]]] = list(
            connection.execute(select(reports.c.id, reports.c.packed, reports.c.content))
        )
    for number, packed, data in rows:
        if complaint := _complaint(packed, data):
            yield f"report {number} can't be read: {complaint}"


def _complaint(packed: bool, data: bytes) -> str:
    try:
        unpack(packed, data)
    except (zstandard.ZstdError, sqlite3.Error) as error:
        return str(error)
    return ""
