"""The hot statements on PostgreSQL: accepting mail, changing what has become of its recipients, reading for delivery.

Written by hand, one statement for each table and batch, its rows as arrays of columns; where the connection is in
pipeline mode (relay.queue.postgres_store) only what has to be read costs a round trip. Several nodes write at the same
time, under READ COMMITTED, so what a transaction goes by it locks first, always in this order: the domains and
appliances of mail that comes, by name and number; all recipients of the messages that it changes, by id; the messages
that share content with one that leaves, by id; and its own node's sums, by key.

Ranges of ids are looked up in a LATERAL that can't be flattened: how many rows a range holds the planner doesn't know,
and guesses far too high, so that left to itself it may read a whole table instead.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import lru_cache
from typing import Any

import psycopg

from relay.queue.accepting import CONTENT, MESSAGE, RECIPIENT, check_domains, rows_of, wanted_domains
from relay.queue.changing import COLUMNS as RECIPIENT_COLUMNS
from relay.queue.changing import Moves, moves
from relay.queue.commands import Accept, Change
from relay.queue.ledger import Deltas
from relay.queue.statements import DUE, Result, Row
from relay.queue.states import Reason, State
from relay.queue.tables import HOT, PLACES

_TYPES = {
    "content": "bigint bool bytea",
    "messages": "bigint int bigint bool text int float8 text text bool text text text int text text",
    "recipients": "bigint bigint int text text text text text int text int",
    "ledger": f"text text int{' bigint' * 7}",
    "depths": "int text text bigint bigint bigint bigint",
    "arrivals": "text int text bigint",
}
"""Of the columns that are written, in their order."""

_RANGE = f"id >= {{0}} * {PLACES} AND id < ({{0}} + 1) * {PLACES} ORDER BY id"
"""All rows of recipients, or content, that belong to one number."""

# So many numbers of messages, and of contents, that nobody else gets, in ascending order; NULLs where one is longer.
_NUMBERS = """
WITH wanted AS (SELECT %s::int AS messages, %s::int AS contents)
SELECT CASE WHEN place <= messages THEN nextval('message_numbers') END,
    CASE WHEN place <= contents THEN nextval('content_numbers') END
FROM wanted CROSS JOIN LATERAL generate_series(1, greatest(messages, contents)) AS place
"""
_ARRIVED = "DELETE FROM incoming WHERE content_id = ANY(%s) RETURNING content_id"
_PAGE = f"""
SELECT id FROM recipients
WHERE {HOT} AND appliance_id = %s AND state = 'queued' AND id >= %s AND id < %s
  AND (next_attempt_at IS NULL OR next_attempt_at <= %s)
ORDER BY id {{order}} LIMIT %s
"""  # noqa: S608
_DUE = f"""
SELECT {DUE}
FROM unnest(%s::bigint[]) WITH ORDINALITY AS page (number, place) JOIN messages AS m ON m.id = page.number
CROSS JOIN LATERAL (SELECT * FROM recipients WHERE {_RANGE.format("m.id")} OFFSET 0) AS r
WHERE r.state = 'queued' AND (r.next_attempt_at IS NULL OR r.next_attempt_at <= %s)
ORDER BY page.place, r.id
"""  # noqa: S608
_PIECES = f"""
SELECT m.id, c.packed, c.data
FROM messages AS m
CROSS JOIN LATERAL (SELECT * FROM content WHERE {_RANGE.format("m.content_id")} OFFSET 0) AS c
WHERE m.id = ANY(%s) ORDER BY m.id, c.id
"""  # noqa: S608
_QUARANTINED = f"""
SELECT r.id, r.message_id, r.address, r.last_reply
FROM messages AS m
CROSS JOIN LATERAL (SELECT * FROM recipients WHERE {_RANGE.format("m.id")} OFFSET 0) AS r
WHERE m.quarantined_at IS NOT NULL AND m.quarantined_at < %s AND r.state = 'held' AND r.reason = 'quarantined'
LIMIT %s
"""  # noqa: S608
_DELIVERED = """
SELECT DISTINCT lower(one ->> 'address')
FROM trace CROSS JOIN LATERAL json_array_elements(trace.recipients::json) AS one
WHERE trace.id >= %s AND trace.id <= %s AND trace.appliance_id = %s AND one ->> 'state' = 'delivered'
  AND (one ->> 'at')::float8 >= %s AND (one ->> 'at')::float8 < %s AND lower(one ->> 'address') = ANY(%s)
"""
_ROWS = f"""
SELECT {RECIPIENT_COLUMNS}
FROM unnest(%s::bigint[]) AS touched
CROSS JOIN LATERAL (SELECT * FROM recipients WHERE {_RANGE.format("touched")} FOR UPDATE) AS r
"""  # noqa: S608
_UPDATE = """
UPDATE recipients SET
    state = new.state, reason = new.reason, attempts = new.attempts, next_attempt_at = new.next_attempt_at,
    tried_at = new.tried_at, last_reply = new.last_reply, outage_id = new.outage_id, remote = new.remote
FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::int[], %s::float8[], %s::float8[], %s::text[], %s::int[],
    %s::text[]) AS new (id, state, reason, attempts, next_attempt_at, tried_at, last_reply, outage_id, remote)
WHERE recipients.id = new.id
"""
_REMOVE = """
WITH gone AS (
    DELETE FROM messages AS m USING unnest(%s::bigint[], %s::text[]) AS left_over (id, recipients)
    WHERE m.id = left_over.id
    RETURNING m.id, m.appliance_id, m.sender, m.message_id, m.size, m.received_at, m.client_ip, m.client_helo,
        left_over.recipients)
INSERT INTO trace
    (id, appliance_id, sender, message_id, size, received_at, removed_at, client_ip, client_helo, recipients)
SELECT id, appliance_id, sender, message_id, size, received_at, %s, client_ip, client_helo, recipients FROM gone
"""
_SHARING = "SELECT id, content_id FROM messages WHERE shared AND content_id = ANY(%s) ORDER BY id FOR UPDATE"
_DELETE_CONTENT = f"""
DELETE FROM content WHERE id = ANY(ARRAY(
    SELECT c.id FROM unnest(%s::bigint[]) AS gone
    CROSS JOIN LATERAL (SELECT id FROM content WHERE {_RANGE.format("gone")} OFFSET 0) AS c))
"""  # noqa: S608


class PostgresStatements:
    """See :class:`~relay.queue.statements.Statements`. ``pipeline``: that the connection is in, if it is in one."""

    def __init__(self, connection: psycopg.Connection[Any], pipeline: psycopg.Pipeline | None = None) -> None:
        self._connection = connection
        self._pipeline = pipeline
        self.close = connection.close

    def execute(self, query: str, values: Sequence[Any] = ()) -> Result:
        result = self._run(_placed(query), *values)
        if self._pipeline is not None:
            self._pipeline.sync()  # else how many rows it changed isn't known yet
        return result

    def executemany(self, query: str, values: Sequence[Sequence[Any]]) -> object:
        cursor = self._connection.cursor()
        cursor.executemany(_placed(query), values)
        return cursor

    def _run(self, query: str, *values: Any) -> psycopg.Cursor[Any]:
        """Octets come as they are, not in hexadecimal."""
        return self._connection.cursor(binary=True).execute(query, values)

    # --- mail comes in ---

    def accept(self, accepts: Sequence[Accept], deltas: Deltas) -> list[list[int]]:
        wanted = wanted_domains(accepts)
        appliances = sorted({appliance_id for accepted in accepts for appliance_id, _ in accepted.messages})
        uploads = sorted(accept.content_id for accept in accepts if accept.content_id is not None)
        # FOR SHARE: none of them may be removed, moved, or come into an outage until this mail is there to be seen.
        domains = self._run(
            "SELECT name, appliance_id FROM domains WHERE name = ANY(%s) ORDER BY name FOR SHARE",
            sorted({name for name, _ in wanted}),
        )
        outages = self._run(
            "SELECT appliance_id, outage_id FROM continuity WHERE appliance_id = ANY(%s)"
            " ORDER BY appliance_id FOR SHARE",
            appliances,
        )
        numbers = self._run(_NUMBERS, sum(len(accept.messages) for accept in accepts), len(accepts) - len(uploads))
        arrived = self._run(_ARRIVED, uploads) if uploads else ()
        check_domains(wanted, domains)
        messages, contents = zip(*numbers, strict=True)
        rows = rows_of(
            accepts,
            messages,
            contents,
            {appliance_id: outage_id for appliance_id, outage_id in outages if outage_id is not None},
            deltas,
        )
        gone = set(uploads).difference(content_id for (content_id,) in arrived)
        if gone:
            raise LookupError(f"upload {min(gone)} is no longer there")
        self._insert("content", CONTENT, rows.content)
        self._insert("messages", MESSAGE, rows.messages)
        self._insert("recipients", RECIPIENT, rows.recipients)
        return rows.given

    def _insert(self, table: str, columns: str, values: list[Any]) -> None:
        """Rows as one flat list."""
        if values:
            width = columns.count(",") + 1
            self._run(_insertion(table, columns), *(values[place::width] for place in range(width)))

    def new_content(self) -> int:
        ((_, number),) = self._run(_NUMBERS, 0, 1)
        return int(number)

    # --- what becomes of it ---

    def change(self, changes: Iterable[Change], deltas: Deltas, now: float) -> list[bool]:
        changes = list(changes)
        touched = sorted({change.recipient_id // PLACES for change in changes})
        found = self._run(_ROWS, touched)
        heads = self._run("SELECT id, content_id, shared, size FROM messages WHERE id = ANY(%s)", touched)
        made = moves(changes, found, deltas)
        if made.updates:
            self._run(_UPDATE, *(list(column) for column in zip(*sorted(made.updates), strict=True)))
        if made.left:
            self._remove(made, {head[0]: head[1:] for head in heads}, deltas, now)
        return made.done

    def _remove(self, made: Moves, heads: dict[int, tuple[int, bool, int]], deltas: Deltas, now: float) -> None:
        """Write the trace of messages that nobody waits for, and remove them with content that no other needs.

        ``heads``: by message its (content, whether that is shared, size).
        """
        unneeded = []
        sharing = set()
        for message_id in made.left:
            content_id, shared, size = heads[message_id]
            made.count_removed(message_id, size, deltas)
            if shared:
                sharing.add(content_id)
            else:
                unneeded.append(content_id)
        if sharing:
            # Of two that leave at the same time the second waits here, and no longer finds the first.
            others = self._run(_SHARING, sorted(sharing))
            needed = {content_id for message_id, content_id in others if message_id not in made.left}
            unneeded += sharing - needed
        trace = made.trace()
        self._run(
            _REMOVE,
            [message_id for message_id, _ in trace],
            [json.dumps(recipients, ensure_ascii=False, separators=(",", ":")) for _, recipients in trace],
            now,
        )
        self._run("DELETE FROM recipients WHERE id = ANY(%s)", made.recipients())
        if unneeded:
            self._run(_DELETE_CONTENT, sorted(unneeded))

    def standing(self, ids: Sequence[int], state: State, reason: Reason | None) -> int:
        locked = self._run("SELECT id, state, reason FROM recipients WHERE id = ANY(%s) ORDER BY id FOR UPDATE", ids)
        return sum(row[1:] == (state, reason) for row in locked)

    def add_deltas(self, node: str, deltas: Deltas) -> None:
        for table, keys, sums, rows in deltas.rows(node):
            if rows:
                self._run(_upsertion(table, keys, sums), *(list(column) for column in zip(*rows, strict=True)))

    def quarantined(self, before: float, limit: int) -> list[Row]:
        return self._run(_QUARANTINED, before, limit).fetchall()

    def delivered(
        self, appliance_id: int, addresses: Sequence[str], since: float, before: float, first: int, last: int
    ) -> set[str]:
        found = self._run(_DELIVERED, first, last, appliance_id, since, before, list(addresses))
        return {address for (address,) in found}

    # --- reading for delivery ---

    def due(
        self, appliance_id: int, first: int, end: int, now: float, *, newest: bool, limit: int
    ) -> Callable[[], Iterable[Row]]:
        query = _PAGE.format(order="DESC" if newest else "ASC")
        page = self._run(query, appliance_id, first, end, now, limit)
        rows = self._run(_DUE, list(dict.fromkeys(number // PLACES for (number,) in page)), now).fetchall()
        return lambda: rows

    def contents(self, messages: Collection[int]) -> Iterable[Row]:
        return self._run(_PIECES, list(messages))


@lru_cache(maxsize=256)
def _placed(query: str) -> str:
    return query.replace("?", "%s")


@lru_cache
def _insertion(table: str, columns: str) -> str:
    arrays = ", ".join(f"%b::{kind}[]" for kind in _TYPES[table].split())
    return f"INSERT INTO {table} ({columns}) SELECT * FROM unnest({arrays})"  # noqa: S608


@lru_cache
def _upsertion(table: str, keys: tuple[str, ...], sums: tuple[str, ...]) -> str:
    added = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in sums)
    return f"{_insertion(table, ','.join(keys + sums))} ON CONFLICT ({','.join(keys)}) DO UPDATE SET {added}"
