"""What is to be tried now: pages of messages in the order of their receipt, from one partial index.

Health decides whether an appliance is tried at all; only what a healthy primary deferred has a time of its own.
"""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from relay.mail import Client
from relay.queue.model import Due, Outgoing
from relay.queue.tables import HOT, PLACES

_PAGE = f"""
SELECT id FROM recipients
WHERE {HOT} AND appliance_id = ? AND state = 'queued' AND id >= ? AND id < ?
  AND (next_attempt_at IS NULL OR next_attempt_at <= ?)
ORDER BY id {{order}} LIMIT ?
"""  # noqa: S608
_DUE = f"""
SELECT m.id, m.appliance_id, m.sender, m.size, m.received_at, m.body, m.smtputf8, m.ret, m.envid,
       m.client_ip, m.client_port, m.client_helo, m.client_protocol,
       r.id, r.address, r.notify, r.orcpt, r.attempts, r.domain, r.outage_id
FROM json_each(?) AS page CROSS JOIN messages AS m ON m.id = page.value
CROSS JOIN recipients AS r ON r.id >= m.id * {PLACES} AND r.id < (m.id + 1) * {PLACES}
WHERE r.state = 'queued' AND (r.next_attempt_at IS NULL OR r.next_attempt_at <= ?)
"""  # noqa: S608
_END = 2**62


def due(
    connection: sqlite3.Connection, appliance_id: int, now: float, *, newest: bool, limit: int, after: int | None
) -> list[Outgoing]:
    """Messages with all of their recipients that are due, ``limit`` at most (fewer where they have many recipients).

    In the order of their numbers, descending when ``newest``; ``after``: the last number of the page before. An empty
    list means that nothing further is due.
    """
    first, end = 0, _END
    if after is not None:
        first, end = (0, after * PLACES) if newest else ((after + 1) * PLACES, _END)
    query = _PAGE.format(order="DESC" if newest else "ASC")
    ids = connection.execute(query, (appliance_id, first, end, now, limit))
    page = list(dict.fromkeys(recipient_id // PLACES for (recipient_id,) in ids))
    grouped: dict[int, list[tuple[Any, ...]]] = {}
    for row in connection.execute(_DUE, (json.dumps(page), now)):
        grouped.setdefault(row[0], []).append(row)
    return [_outgoing(rows) for rows in grouped.values()]


def _outgoing(rows: list[tuple[Any, ...]]) -> Outgoing:
    head = rows[0]
    return Outgoing(
        id=head[0],
        appliance_id=head[1],
        sender=head[2],
        recipients=tuple(Due(*row[13:19]) for row in rows),
        size=head[3],
        received_at=head[4],
        body=head[5],
        smtputf8=bool(head[6]),
        ret=head[7],
        envid=head[8],
        client=Client(*head[9:13]),
        attempts=max(row[17] for row in rows),
        outage_id=head[19] or None,
    )
