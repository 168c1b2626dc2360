"""The hot statements on SQLite: accepting mail, and changing what has become of its recipients.

Written by hand, a statement for each table and batch (of 64 rows at most), because each costs a turn of the
interpreter's lock. Everything here works inside a transaction of the caller's that was opened with BEGIN IMMEDIATE,
and is rolled back whole if anything raises.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from relay.queue.commands import Accept, Change
from relay.queue.ledger import COLUMNS, Deltas
from relay.queue.states import MOVES, WAITING, State
from relay.queue.tables import PLACES

_ROWS_AT_ONCE = 64
"""Rows of one INSERT. Each number of rows is a statement of its own, and all of them are kept prepared."""

_MESSAGE = (
    "id,appliance_id,content_id,shared,sender,size,received_at,message_id,body,smtputf8,ret,envid,"
    "client_ip,client_port,client_helo,client_protocol"
)
_RECIPIENT = "id,message_id,appliance_id,domain,address,notify,orcpt,state,attempts,last_reply,outage_id"


def accept(connection: sqlite3.Connection, accepts: Sequence[Accept], deltas: Deltas) -> list[list[int]]:
    """Store messages; the numbers that each got. Raises LookupError where an upload, or a domain, is gone."""
    _check_domains(connection, accepts)
    contents = sum(accept.content_id is None for accept in accepts)
    count = sum(len(accept.messages) for accept in accepts)
    ((last_message, last_content),) = connection.execute(
        "UPDATE numbers SET message = message + ?, content = content + ? RETURNING message, content", (count, contents)
    ).fetchall()
    message_id, content_id = last_message - count, last_content - contents
    outages = _present_outages(connection, accepts)
    content_rows: list[Any] = []
    message_rows: list[Any] = []
    recipient_rows: list[Any] = []
    given: list[list[int]] = []
    for accepted in accepts:
        incoming = accepted.incoming
        envelope, client = incoming.envelope, incoming.client
        if accepted.content_id is None:
            content_id += 1
            content = content_id
        else:
            content = accepted.content_id
            if not connection.execute("DELETE FROM incoming WHERE content_id = ?", (content,)).rowcount:
                raise LookupError(f"upload {content} is no longer there")
        for place, (packed, data) in accepted.pieces:
            content_rows += (content * PLACES + place, packed, data)
        shared = len(accepted.messages) > 1
        numbers = []
        for appliance_id, recipients in accepted.messages:
            message_id += 1
            numbers.append(message_id)
            message_rows += (
                message_id,
                appliance_id,
                content,
                shared,
                envelope.sender,
                incoming.size,
                incoming.received_at,
                incoming.message_id,
                envelope.body,
                envelope.smtputf8,
                envelope.ret,
                envelope.envid,
                client.ip,
                client.port,
                client.helo,
                client.protocol,
            )
            outage_id = outages.get(appliance_id, 0)
            domains: dict[str, int] = {}
            for place, (domain, recipient) in enumerate(recipients):
                domains[domain] = domains.get(domain, 0) + 1
                recipient_rows += (
                    message_id * PLACES + place,
                    message_id,
                    appliance_id,
                    domain,
                    recipient.address,
                    recipient.notify,
                    recipient.orcpt,
                    "queued",
                    0,
                    "",
                    outage_id,
                )
            for domain, number in domains.items():
                deltas.accepted(appliance_id, domain, outage_id, number, incoming.size, incoming.received_at)
        given.append(numbers)
    _insert(connection, "content", "id,packed,data", content_rows)
    _insert(connection, "messages", _MESSAGE, message_rows)
    _insert(connection, "recipients", _RECIPIENT, recipient_rows)
    return given


def _check_domains(connection: sqlite3.Connection, accepts: Sequence[Accept]) -> None:
    """An operator may have removed a domain, or moved it to another appliance, since its recipient was taken at RCPT.

    Nobody would ever hand such mail over, or to the wrong primary. Our own postmaster's (appliance 0) has no row.
    """
    wanted = {
        (domain, appliance_id)
        for accepted in accepts
        for appliance_id, recipients in accepted.messages
        if appliance_id
        for domain, _ in recipients
    }
    names = json.dumps([domain for domain, _ in wanted])
    found = connection.execute(
        "SELECT d.name, d.appliance_id FROM json_each(?) AS wanted CROSS JOIN domains AS d ON d.name = wanted.value",
        (names,),
    )
    gone = wanted.difference(found)
    if gone:
        raise LookupError(f"removed while mail for it arrived: {', '.join(sorted(domain for domain, _ in gone))}")


def _present_outages(connection: sqlite3.Connection, accepts: Sequence[Accept]) -> dict[int, int]:
    """The outages that the appliances of these messages are in, as continuity last wrote."""
    appliances = {appliance_id for accepted in accepts for appliance_id, _ in accepted.messages}
    return dict(
        connection.execute(
            "SELECT appliance_id, outage_id FROM continuity WHERE outage_id IS NOT NULL"
            " AND appliance_id IN (SELECT value FROM json_each(?))",
            (json.dumps(list(appliances)),),
        )
    )


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


_ROWS = """
SELECT r.id, r.message_id, r.appliance_id, r.domain, r.address,
       r.state, r.reason, r.attempts, r.next_attempt_at, r.tried_at, r.last_reply, r.outage_id, r.remote
FROM json_each(?) AS touched
CROSS JOIN recipients AS r ON r.id >= touched.value * 65536 AND r.id < (touched.value + 1) * 65536
"""
_UPDATE = """
UPDATE recipients SET
    state = json_extract(new.value, '$[1]'), reason = json_extract(new.value, '$[2]'),
    attempts = json_extract(new.value, '$[3]'), next_attempt_at = json_extract(new.value, '$[4]'),
    tried_at = json_extract(new.value, '$[5]'), last_reply = json_extract(new.value, '$[6]'),
    outage_id = json_extract(new.value, '$[7]'), remote = json_extract(new.value, '$[8]')
FROM json_each(?) AS new
WHERE recipients.id = json_extract(new.value, '$[0]') AND recipients.state IN ('queued','held')
"""
_ID, _MESSAGE_ID, _APPLIANCE, _DOMAIN, _ADDRESS = range(5)
_STATE, _REASON, _ATTEMPTS, _NEXT, _TRIED, _REPLY, _OUTAGE, _REMOTE = range(5, 13)


def change(connection: sqlite3.Connection, changes: Iterable[Change], deltas: Deltas, now: float) -> list[bool]:
    """Carry out what is legal, for each whether it took place, and remove messages of which nobody waits any more.

    A change of a recipient that is gone, that isn't in one of the change's sources, that MOVES doesn't know, or an
    attempt that is recorded already, changes nothing: to record an outcome twice is harmless.
    """
    changes = list(changes)
    touched = sorted({change.recipient_id // PLACES for change in changes})
    rows = {row[0]: list(row) for row in connection.execute(_ROWS, (json.dumps(touched),))}
    changed: set[int] = set()
    done = []
    for wanted in changes:
        row = rows.get(wanted.recipient_id)
        if row is None or not _applies(wanted, row):
            done.append(False)
            continue
        if wanted.outage_id is not None and wanted.outage_id != row[_OUTAGE]:
            deltas.recounted(row[_DOMAIN], row[_STATE], row[_OUTAGE], wanted.outage_id)
            row[_OUTAGE] = wanted.outage_id
        if wanted.state != row[_STATE]:
            deltas.moved(row[_APPLIANCE], row[_DOMAIN], row[_OUTAGE], row[_STATE], wanted.state)
            row[_STATE] = str(wanted.state)
        row[_REASON] = wanted.reason
        row[_NEXT] = wanted.next_attempt_at if wanted.state is State.QUEUED else None
        if wanted.reply is not None:
            row[_REPLY] = wanted.reply
        if wanted.attempt:
            row[_ATTEMPTS] += 1
            row[_TRIED] = wanted.at
            row[_REMOTE] = wanted.remote
        changed.add(row[_ID])
        done.append(True)
    _store_changes(connection, rows, changed, deltas, now)
    return done


def _applies(wanted: Change, row: list[Any]) -> bool:
    state = State(row[_STATE])
    if state not in wanted.sources or wanted.state not in MOVES[state]:
        return False
    # The same moment, not an earlier one: a clock that was set back must not make us deaf.
    recorded = wanted.attempt and wanted.at == row[_TRIED]
    return not recorded or wanted.state is State.DELIVERED


def _store_changes(
    connection: sqlite3.Connection, rows: dict[int, list[Any]], changed: set[int], deltas: Deltas, now: float
) -> None:
    messages: dict[int, list[list[Any]]] = {}
    for row in rows.values():
        messages.setdefault(row[_MESSAGE_ID], []).append(row)
    left = {
        message_id: group
        for message_id, group in messages.items()
        if not any(row[_STATE] in WAITING for row in group) and any(row[_ID] in changed for row in group)
    }
    updates = [
        (row[_ID], *row[_STATE:]) for recipient_id in changed if (row := rows[recipient_id])[_MESSAGE_ID] not in left
    ]
    if updates:
        stored = connection.execute(_UPDATE, (json.dumps(updates),)).rowcount
        if stored != len(updates):
            raise sqlite3.IntegrityError(f"{len(updates)} recipients should have moved, {stored} did")
    if left:
        _remove(connection, left, deltas, now)


_TRACE = """
INSERT INTO trace
    (id, appliance_id, sender, message_id, size, received_at, removed_at, client_ip, client_helo, recipients)
SELECT m.id, m.appliance_id, m.sender, m.message_id, m.size, m.received_at, ?, m.client_ip, m.client_helo,
       json_extract(gone.value, '$[1]')
FROM json_each(?) AS gone CROSS JOIN messages AS m ON m.id = json_extract(gone.value, '$[0]')
"""
_CONTENTS = """
SELECT m.id, m.content_id, m.shared, m.size
FROM json_each(?) AS gone CROSS JOIN messages AS m ON m.id = gone.value
"""
_DELETE_CONTENT = """
DELETE FROM content WHERE id IN (
    SELECT c.id FROM json_each(?) AS gone
    CROSS JOIN content AS c ON c.id >= gone.value * 65536 AND c.id < (gone.value + 1) * 65536)
"""


def _remove(connection: sqlite3.Connection, left: dict[int, list[list[Any]]], deltas: Deltas, now: float) -> None:
    """Write the trace of messages that nobody waits for, and remove them with content that no other message needs."""
    trace = [
        (
            message_id,
            [
                {
                    "address": row[_ADDRESS],
                    "domain": row[_DOMAIN],
                    "state": row[_STATE],
                    "reason": row[_REASON],
                    "attempts": row[_ATTEMPTS],
                    "at": row[_TRIED],
                    "reply": row[_REPLY],
                }
                for row in group
            ],
        )
        for message_id, group in left.items()
    ]
    connection.execute(_TRACE, (now, json.dumps(trace, ensure_ascii=False)))
    ids = json.dumps(list(left))
    contents = connection.execute(_CONTENTS, (ids,)).fetchall()
    for message_id, _, _, size in contents:
        for appliance_id, domain in {(row[_APPLIANCE], row[_DOMAIN]) for row in left[message_id]}:
            deltas.removed(appliance_id, domain, size)
    rows = json.dumps([row[_ID] for row in chain.from_iterable(left.values())])
    connection.execute("DELETE FROM recipients WHERE id IN (SELECT value FROM json_each(?))", (rows,))
    connection.execute("DELETE FROM messages WHERE id IN (SELECT value FROM json_each(?))", (ids,))
    unneeded = {content_id for _, content_id, shared, _ in contents if not shared}
    for content_id in {content_id for _, content_id, shared, _ in contents if shared}:
        others = "SELECT 1 FROM messages WHERE shared AND content_id = ? LIMIT 1"
        if connection.execute(others, (content_id,)).fetchone() is None:
            unneeded.add(content_id)
    connection.execute(_DELETE_CONTENT, (json.dumps(list(unneeded)),))


def add_deltas(connection: sqlite3.Connection, node: str, deltas: Deltas) -> None:
    """Add what a transaction changed to the node's rows, in key order, one statement for each table."""
    _upsert(
        connection,
        "ledger",
        ("domain", "node", "outage_id"),
        COLUMNS,
        [(domain, node, outage, *sums) for (domain, outage), sums in sorted(deltas.ledger.items()) if any(sums)],
    )
    _upsert(
        connection,
        "depths",
        ("appliance_id", "domain", "node"),
        ("queued", "held", "bytes", "messages"),
        [(appliance, domain, node, *sums) for (appliance, domain), sums in sorted(deltas.depths.items()) if any(sums)],
    )
    _upsert(
        connection,
        "arrivals",
        ("domain", "hour", "node"),
        ("bytes",),
        [(domain, hour, node, size) for (domain, hour), size in sorted(deltas.arrivals.items())],
    )


def _upsert(
    connection: sqlite3.Connection,
    table: str,
    keys: tuple[str, ...],
    sums: tuple[str, ...],
    rows: list[tuple[Any, ...]],
) -> None:
    if rows:
        connection.executemany(_upsertion(table, keys, sums), rows)


@lru_cache
def _upsertion(table: str, keys: tuple[str, ...], sums: tuple[str, ...]) -> str:
    columns = keys + sums
    added = ", ".join(f"{name} = {name} + excluded.{name}" for name in sums)
    row = ",".join("?" * len(columns))
    conflict = f"ON CONFLICT ({','.join(keys)}) DO UPDATE SET {added}"
    return f"INSERT INTO {table} ({','.join(columns)}) VALUES ({row}) {conflict}"  # noqa: S608
