"""What is to be tried now: pages of messages in the order of their receipt, from one partial index.

Health decides whether an appliance is tried at all; only what a healthy primary deferred has a time of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from relay.mail import Client
from relay.queue.model import Due, Outgoing
from relay.queue.statements import Row, Statements
from relay.queue.tables import PLACES

_END = 2**62


def due(
    statements: Statements, appliance_id: int, now: float, *, newest: bool, limit: int, after: int | None
) -> Callable[[], list[Outgoing]]:
    """Messages with all of their recipients that are due, ``limit`` at most (fewer where they have many recipients).

    In the order of their numbers, descending when ``newest``; ``after``: the last number of the page before. An empty
    list means that nothing further is due. What was read is returned raw: a thread that makes objects of it while the
    loop runs takes the interpreter's lock from it again and again.
    """
    first, end = 0, _END
    if after is not None:
        first, end = (0, after * PLACES) if newest else ((after + 1) * PLACES, _END)
    rows = statements.due(appliance_id, first, end, now, newest=newest, limit=limit)
    return lambda: _messages(rows())


def _messages(rows: Iterable[Row]) -> list[Outgoing]:
    grouped: dict[int, list[Row]] = {}
    for row in rows:
        grouped.setdefault(row[0], []).append(row)
    return [_outgoing(group) for group in grouped.values()]


def _outgoing(rows: list[Row]) -> Outgoing:
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
