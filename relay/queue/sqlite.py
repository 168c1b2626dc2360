"""The hot statements on SQLite: accepting mail, changing what has become of its recipients, reading for delivery.

Written by hand, a statement for each table and batch (of 64 rows at most), because each costs a turn of the
interpreter's lock. So does each row that is read: the hot readings give all of theirs as one, in JSON, numbers to the
last digit. Everything here works inside a transaction of the caller's that was opened with BEGIN IMMEDIATE, and is
rolled back whole if anything raises; so there is nothing to lock.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import lru_cache, partial
from typing import Any

from relay.queue.accepting import CONTENT, MESSAGE, RECIPIENT, check_domains, rows_of, wanted_domains
from relay.queue.changing import COLUMNS as RECIPIENT_COLUMNS
from relay.queue.changing import Moves, moves
from relay.queue.commands import Accept, Change
from relay.queue.ledger import Deltas
from relay.queue.statements import DUE, Row
from relay.queue.states import Reason, State
from relay.queue.tables import HOT, PLACES

_ROWS_AT_ONCE = 64
"""Rows of one INSERT. Each number of rows is a statement of its own, and all of them are kept prepared."""


def _gathered(columns: str, *reals: str) -> str:
    """An expression for all rows of a query in one, as JSON. JSON's own way to write ``reals`` loses their last digits;
    seventeen of them are enough for any (IEEE 754)."""
    names = (name.strip() for name in columns.split(","))
    real = "json(iif({0} IS NULL, 'null', printf('%!.17g', {0})))"
    return f"json_group_array(json_array({', '.join(real.format(name) if name in reals else name for name in names)}))"


_PAGE = f"""
SELECT id / {PLACES} AS message_id FROM recipients
WHERE {HOT} AND appliance_id = ? AND state = 'queued' AND id >= ? AND id < ?
  AND (next_attempt_at IS NULL OR next_attempt_at <= ?)
ORDER BY id {{order}} LIMIT ?
"""  # noqa: S608
_DUE = f"""
SELECT {_gathered(DUE, "m.received_at")}
FROM (SELECT DISTINCT message_id FROM ({_PAGE})) AS page CROSS JOIN messages AS m ON m.id = page.message_id
CROSS JOIN recipients AS r ON r.id >= m.id * {PLACES} AND r.id < (m.id + 1) * {PLACES}
WHERE r.state = 'queued' AND (r.next_attempt_at IS NULL OR r.next_attempt_at <= ?)
"""  # noqa: S608
_PIECES = f"""
SELECT json_group_array(json_array(m.id, c.packed, length(c.data))), CAST(group_concat(c.data, '') AS BLOB)
FROM json_each(?) AS wanted CROSS JOIN messages AS m ON m.id = wanted.value
CROSS JOIN content AS c ON c.id >= m.content_id * {PLACES} AND c.id < (m.content_id + 1) * {PLACES}
"""  # noqa: S608
# The + keeps SQLite from making an index of all recipients for it.
_QUARANTINED = f"""
SELECT r.id, r.message_id, r.address, r.last_reply
FROM messages AS m CROSS JOIN recipients AS r ON r.id >= m.id * {PLACES} AND r.id < (m.id + 1) * {PLACES}
WHERE m.quarantined_at IS NOT NULL AND m.quarantined_at < ? AND +r.state = 'held' AND +r.reason = 'quarantined'
LIMIT ?
"""  # noqa: S608
_DELIVERED = """
SELECT DISTINCT lower(json_extract(one.value, '$.address'))
FROM trace, json_each(trace.recipients) AS one
WHERE trace.id >= ? AND trace.id <= ? AND trace.appliance_id = ?
  AND json_extract(one.value, '$.state') = 'delivered'
  AND json_extract(one.value, '$.at') >= ? AND json_extract(one.value, '$.at') < ?
  AND lower(json_extract(one.value, '$.address')) IN (SELECT value FROM json_each(?))
"""
_ROWS = f"""
SELECT {_gathered(RECIPIENT_COLUMNS, "r.next_attempt_at", "r.tried_at")}
FROM json_each(?) AS touched
CROSS JOIN recipients AS r ON r.id >= touched.value * {PLACES} AND r.id < (touched.value + 1) * {PLACES}
"""  # noqa: S608
_UPDATE = """
UPDATE recipients SET
    state = json_extract(new.value, '$[1]'), reason = json_extract(new.value, '$[2]'),
    attempts = json_extract(new.value, '$[3]'), next_attempt_at = json_extract(new.value, '$[4]'),
    tried_at = json_extract(new.value, '$[5]'), last_reply = json_extract(new.value, '$[6]'),
    outage_id = json_extract(new.value, '$[7]'), remote = json_extract(new.value, '$[8]')
FROM json_each(?) AS new
WHERE recipients.id = json_extract(new.value, '$[0]') AND recipients.state IN ('queued','held')
"""
_TRACE = """
INSERT INTO trace
    (id, appliance_id, sender, message_id, size, received_at, removed_at, client_ip, client_helo, recipients)
SELECT m.id, m.appliance_id, m.sender, m.message_id, m.size, m.received_at, ?, m.client_ip, m.client_helo,
       json_extract(gone.value, '$[1]')
FROM json_each(?) AS gone CROSS JOIN messages AS m ON m.id = json_extract(gone.value, '$[0]')
"""
_CONTENTS = """
SELECT json_group_array(json_array(m.id, m.content_id, m.shared, m.size))
FROM json_each(?) AS gone CROSS JOIN messages AS m ON m.id = gone.value
"""
_DELETE_CONTENT = """
DELETE FROM content WHERE id IN (
    SELECT c.id FROM json_each(?) AS gone
    CROSS JOIN content AS c ON c.id >= gone.value * 65536 AND c.id < (gone.value + 1) * 65536)
"""


class SqliteStatements:
    """See :class:`~relay.queue.statements.Statements`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.execute = connection.execute
        self.executemany = connection.executemany
        self.close = connection.close

    # --- mail comes in ---

    def accept(self, accepts: Sequence[Accept], deltas: Deltas) -> list[list[int]]:
        connection = self._connection
        self._check_domains(accepts)
        uploads = [accept.content_id for accept in accepts if accept.content_id is not None]
        for content_id in uploads:
            if not connection.execute("DELETE FROM incoming WHERE content_id = ?", (content_id,)).rowcount:
                raise LookupError(f"upload {content_id} is no longer there")
        contents = len(accepts) - len(uploads)
        count = sum(len(accept.messages) for accept in accepts)
        ((last_message, last_content),) = connection.execute(
            "UPDATE numbers SET message = message + ?, content = content + ? RETURNING message, content",
            (count, contents),
        ).fetchall()
        rows = rows_of(
            accepts,
            range(last_message - count + 1, last_message + 1),
            range(last_content - contents + 1, last_content + 1),
            self._present_outages(accepts),
            deltas,
        )
        _insert(connection, "content", CONTENT, rows.content)
        _insert(connection, "messages", MESSAGE, rows.messages)
        _insert(connection, "recipients", RECIPIENT, rows.recipients)
        return rows.given

    def _check_domains(self, accepts: Sequence[Accept]) -> None:
        wanted = wanted_domains(accepts)
        names = json.dumps([domain for domain, _ in wanted])
        found = self._connection.execute(
            "SELECT d.name, d.appliance_id"
            " FROM json_each(?) AS wanted CROSS JOIN domains AS d ON d.name = wanted.value",
            (names,),
        )
        check_domains(wanted, found)

    def _present_outages(self, accepts: Sequence[Accept]) -> dict[int, int]:
        """The outages that the appliances of these messages are in, as continuity last wrote."""
        appliances = {appliance_id for accepted in accepts for appliance_id, _ in accepted.messages}
        return dict(
            self._connection.execute(
                "SELECT appliance_id, outage_id FROM continuity WHERE outage_id IS NOT NULL"
                " AND appliance_id IN (SELECT value FROM json_each(?))",
                (json.dumps(list(appliances)),),
            )
        )

    def new_content(self) -> int:
        ((number,),) = self._connection.execute("UPDATE numbers SET content = content + 1 RETURNING content").fetchall()
        return int(number)

    # --- what becomes of it ---

    def change(self, changes: Iterable[Change], deltas: Deltas, now: float) -> list[bool]:
        changes = list(changes)
        touched = sorted({change.recipient_id // PLACES for change in changes})
        ((found,),) = self._connection.execute(_ROWS, (json.dumps(touched),))
        made = moves(changes, json.loads(found), deltas)
        if made.updates:
            stored = self._connection.execute(_UPDATE, (json.dumps(made.updates),)).rowcount
            if stored != len(made.updates):
                raise sqlite3.IntegrityError(f"{len(made.updates)} recipients should have moved, {stored} did")
        if made.left:
            self._remove(made, deltas, now)
        return made.done

    def _remove(self, made: Moves, deltas: Deltas, now: float) -> None:
        """Write the trace of messages that nobody waits for, and remove them with content that no other needs."""
        connection = self._connection
        connection.execute(_TRACE, (now, json.dumps(made.trace(), ensure_ascii=False)))
        ids = json.dumps(list(made.left))
        ((found,),) = connection.execute(_CONTENTS, (ids,))
        contents = json.loads(found)
        for message_id, _, _, size in contents:
            made.count_removed(message_id, size, deltas)
        rows = json.dumps(made.recipients())
        connection.execute("DELETE FROM recipients WHERE id IN (SELECT value FROM json_each(?))", (rows,))
        connection.execute("DELETE FROM messages WHERE id IN (SELECT value FROM json_each(?))", (ids,))
        unneeded = {content_id for _, content_id, shared, _ in contents if not shared}
        for content_id in {content_id for _, content_id, shared, _ in contents if shared}:
            others = "SELECT 1 FROM messages WHERE shared AND content_id = ? LIMIT 1"
            if connection.execute(others, (content_id,)).fetchone() is None:
                unneeded.add(content_id)
        connection.execute(_DELETE_CONTENT, (json.dumps(list(unneeded)),))

    def standing(self, ids: Sequence[int], state: State, reason: Reason | None) -> int:
        (number,) = self._connection.execute(
            "SELECT count(*) FROM recipients"
            " WHERE id IN (SELECT value FROM json_each(?)) AND state = ? AND reason IS ?",
            (json.dumps(ids), state, reason),
        ).fetchone()
        return int(number)

    def add_deltas(self, node: str, deltas: Deltas) -> None:
        for table, keys, sums, rows in deltas.rows(node):
            if rows:
                self._connection.executemany(_upsertion(table, keys, sums), rows)

    def quarantined(self, before: float, limit: int) -> list[Row]:
        return self._connection.execute(_QUARANTINED, (before, limit)).fetchall()

    def delivered(
        self, appliance_id: int, addresses: Sequence[str], since: float, before: float, first: int, last: int
    ) -> set[str]:
        asked = (first, last, appliance_id, since, before, json.dumps(list(addresses)))
        return {address for (address,) in self._connection.execute(_DELIVERED, asked)}

    # --- reading for delivery ---

    def due(
        self, appliance_id: int, first: int, end: int, now: float, *, newest: bool, limit: int
    ) -> Callable[[], Iterable[Row]]:
        query = _DUE.format(order="DESC" if newest else "ASC")
        ((found,),) = self._connection.execute(query, (appliance_id, first, end, now, limit, now))
        return partial(json.loads, found)

    def contents(self, messages: Collection[int]) -> Iterable[Row]:
        ((found, data),) = self._connection.execute(_PIECES, (json.dumps(list(messages)),))
        end = 0
        for message_id, packed, size in json.loads(found):
            start, end = end, end + size
            yield message_id, packed, data[start:end]


def _insert(connection: sqlite3.Connection, table: str, columns: str, values: list[Any]) -> None:
    """Rows as one flat list."""
    width = columns.count(",") + 1
    step = _ROWS_AT_ONCE * width
    for start in range(0, len(values), step):
        chunk = values[start : start + step]
        connection.execute(_insertion(table, columns, len(chunk) // width), chunk)


@lru_cache(maxsize=4 * _ROWS_AT_ONCE)
def _insertion(table: str, columns: str, rows: int) -> str:
    row = f"({','.join('?' * (columns.count(',') + 1))})"
    return f"INSERT INTO {table} ({columns}) VALUES {','.join([row] * rows)}"  # noqa: S608


@lru_cache
def _upsertion(table: str, keys: tuple[str, ...], sums: tuple[str, ...]) -> str:
    columns = keys + sums
    added = ", ".join(f"{name} = {name} + excluded.{name}" for name in sums)
    row = ",".join("?" * len(columns))
    conflict = f"ON CONFLICT ({','.join(keys)}) DO UPDATE SET {added}"
    return f"INSERT INTO {table} ({','.join(columns)}) VALUES ({row}) {conflict}"  # noqa: S608
