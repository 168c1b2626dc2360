"""A copy of the SQLite database while nodes go on writing to it: whole, of one moment, in one file.

SQLite's own backup would begin anew with each commit, or hold one transaction for as long as the copying takes:
meanwhile the WAL can't be used again, and commits get slower and slower. So what is large and never changes once it is
written (content, traces) is copied ahead, in short transactions with pauses; then all other tables in one, which takes
about a second for a million messages; and at last, outside of any, the indexes, which copy nothing of the original.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from relay.errors import BackupError
from relay.queue.tables import PLACES
from relay.sqlite import BUSY_TIMEOUT, PAGE_SIZE

PAUSE = 1.0
"""How long the pause after a slice is, in times of the slice."""


@dataclass(frozen=True, slots=True)
class Ahead:
    """A table whose rows never change, and come in the order of their ids but for those of some that are *late*.

    ``late``: the numbers of those in a slice (``:first`` < id <= ``:last``) whose rows may still come; a number's rows
    have the ids from ``number * places`` on.
    """

    table: str
    rows: int
    places: int
    late: str


AHEAD = (
    # A large message's pieces come while others, with higher numbers, come and go.
    Ahead("content", 100, PLACES, f"SELECT content_id FROM live.incoming WHERE content_id <= :last / {PLACES}"),  # noqa: S608
    # A message's trace is written when it leaves.
    Ahead("trace", 1000, 1, "SELECT id FROM live.messages WHERE id > :first AND id <= :last"),
)
NOT_COPIED = ("incoming",)
"""Uploads that are under way are no mail."""


def copy(source: Path, target: Path, step: Callable[[], None], now: Callable[[], float]) -> float:
    """Copy ``source`` to the new file ``target``; returns the moment that the copy shows.

    ``step``: called between slices, raises what ends the work. Raises BackupError where the tables were changed
    meanwhile, sqlite3.Error where either file can't be used.
    """
    connection = sqlite3.connect(target, isolation_level=None, timeout=BUSY_TIMEOUT)
    try:
        for pragma in (
            f"page_size={PAGE_SIZE}",
            "auto_vacuum=INCREMENTAL",
            "journal_mode=OFF",  # a copy that isn't finished is nothing
            "synchronous=OFF",
            "temp_store=MEMORY",
        ):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("ATTACH ? AS live", (str(source),))
        schema = _Schema(connection)
        for statement in schema.tables.values():
            connection.execute(statement)
        ends = {ahead.table: _copy_ahead(connection, ahead, step) for ahead in AHEAD}
        moment = now()
        _copy_rest(connection, schema, ends)
        connection.execute("DETACH live")
        step()
        for statement in schema.others:
            connection.execute(statement)
            step()
        # Of messages that left while their content was copied.
        connection.execute(f"DELETE FROM content WHERE id / {PLACES} NOT IN (SELECT content_id FROM messages)")  # noqa: S608
        return moment
    finally:
        connection.close()


class _Schema:
    """What makes the tables of the original, and then its indexes and triggers."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.version = _version(connection)
        rows = connection.execute(
            "SELECT type, name, sql FROM live.sqlite_master WHERE sql IS NOT NULL"  # our own indexes have one
        ).fetchall()
        self.tables = {name: sql for kind, name, sql in rows if kind == "table" and not name.startswith("sqlite_")}
        self.others = [sql for kind, _, sql in rows if kind != "table"]


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA live.schema_version").fetchone()[0])


def _copy_ahead(connection: sqlite3.Connection, ahead: Ahead, step: Callable[[], None]) -> int:
    """Copy what there is of a table; returns the id of the last row. Who is late is in the table ``TABLE_late``."""
    connection.execute(f"CREATE TEMP TABLE {ahead.table}_late (number INTEGER PRIMARY KEY)")
    page = f"SELECT max(id) FROM (SELECT id FROM live.{ahead.table} WHERE id > ? ORDER BY id LIMIT {ahead.rows})"  # noqa: S608
    rows = f"INSERT INTO main.{ahead.table} SELECT * FROM live.{ahead.table} WHERE id > ? AND id <= ?"  # noqa: S608
    first = 0
    while True:
        began = time.monotonic()
        connection.execute("BEGIN")
        (last,) = connection.execute(page, (first,)).fetchone()
        if last is not None:
            connection.execute(rows, (first, last))
            late = f"INSERT OR IGNORE INTO {ahead.table}_late {ahead.late}"
            connection.execute(late, {"first": first, "last": last})
        connection.execute("COMMIT")
        if last is None:
            return first
        first = last
        step()
        time.sleep(PAUSE * (time.monotonic() - began))


def _copy_rest(connection: sqlite3.Connection, schema: _Schema, ends: dict[str, int]) -> None:
    """The one transaction whose moment the copy shows."""
    connection.execute("BEGIN")
    if _version(connection) != schema.version:
        raise BackupError("the database was upgraded meanwhile; begin anew")
    for name in schema.tables:
        if name not in ends and name not in NOT_COPIED:
            connection.execute(f'INSERT INTO main."{name}" SELECT * FROM live."{name}"')  # noqa: S608
    for ahead in AHEAD:
        connection.execute(
            f"INSERT INTO main.{ahead.table} SELECT * FROM live.{ahead.table} WHERE id > ?",  # noqa: S608
            (ends[ahead.table],),
        )
        connection.execute(
            f"INSERT OR IGNORE INTO main.{ahead.table} SELECT r.* FROM {ahead.table}_late AS late"  # noqa: S608
            f" CROSS JOIN live.{ahead.table} AS r"
            f" ON r.id >= late.number * {ahead.places} AND r.id < (late.number + 1) * {ahead.places}"
        )
    # The numbers that are never given twice.
    if connection.execute("SELECT 1 FROM live.sqlite_master WHERE name = 'sqlite_sequence'").fetchone():
        connection.execute("DELETE FROM main.sqlite_sequence")
        connection.execute("INSERT INTO main.sqlite_sequence SELECT * FROM live.sqlite_sequence")
    connection.execute("COMMIT")
