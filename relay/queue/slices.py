"""Changes to all that waits for an appliance, a slice of 500 rows in a transaction each, so that accepting goes on.

Each function does one slice on the writer's connection and returns (how many changed, the id to go on after or None
at the end). Repeating one that was interrupted is harmless.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from relay.queue.commands import Change
from relay.queue.ledger import Deltas
from relay.queue.statements import Statements
from relay.queue.states import Reason, State
from relay.queue.tables import HOT, PLACES

ROWS = 500
PAUSE = 0.01
"""Seconds between two slices."""

Slice = tuple[int, int | None]
Row = tuple[int, str | None, int]
"""(id, reason, outage_id)"""

_PAGE = f"""
SELECT id, reason, outage_id FROM recipients
WHERE {HOT} AND appliance_id = ? AND state = ? AND id > ? ORDER BY id LIMIT {ROWS}
"""  # noqa: S608
_MESSAGE = f"""
SELECT id FROM recipients
WHERE {HOT} AND appliance_id = ? AND state = 'held' AND id >= ? AND id < ? AND reason = ?
"""  # noqa: S608
_DEFERRED = f"""
SELECT id FROM recipients
WHERE appliance_id = ? AND next_attempt_at IS NOT NULL AND domain = ? AND state = 'queued' AND id > ?
ORDER BY id LIMIT {ROWS}
"""  # noqa: S608


def recount(appliance_id: int, outage_id: int, state: State, now: float, after: int) -> Callable[..., Slice]:
    """What waits in ``state`` is counted for an outage from now on, and loses the retry times of before."""

    def changes(rows: Iterable[Row]) -> list[Change]:
        return [
            Change(number, (state,), state, now, Reason(reason) if reason else None, outage_id=outage_id)
            for number, reason, counted_for in rows
            if counted_for != outage_id
        ]

    return _slice(appliance_id, state, after, now, changes)


def release(appliance_id: int, reason: Reason, now: float, after: int) -> Callable[..., Slice]:
    """What is held for ``reason`` is queued again."""

    def changes(rows: Iterable[Row]) -> list[Change]:
        return [Change(number, (State.HELD,), State.QUEUED, now) for number, held_for, _ in rows if held_for == reason]

    return _slice(appliance_id, State.HELD, after, now, changes)


def release_message(appliance_id: int, reason: Reason, message_id: int, now: float) -> Callable[..., int]:
    """What is held of one message for ``reason`` is queued again; how many recipients."""

    def work(statements: Statements, deltas: Deltas) -> int:
        places = message_id * PLACES, (message_id + 1) * PLACES
        held = statements.execute(_MESSAGE, (appliance_id, *places, reason)).fetchall()
        changes = [Change(number, (State.HELD,), State.QUEUED, now) for (number,) in held]
        return sum(statements.change(changes, deltas, now))

    return work


def convert(appliance_id: int, before: Reason, reason: Reason, now: float, after: int) -> Callable[..., Slice]:
    """What is held for one reason is held for another."""

    def changes(rows: Iterable[Row]) -> list[Change]:
        return [
            Change(number, (State.HELD,), State.HELD, now, reason) for number, held_for, _ in rows if held_for == before
        ]

    return _slice(appliance_id, State.HELD, after, now, changes)


def retry(appliance_id: int, domain: str, now: float, after: int) -> Callable[..., Slice]:
    """What is queued for a domain loses its retry times: it is due as soon as health allows."""

    def work(statements: Statements, deltas: Deltas) -> Slice:
        ids = [number for (number,) in statements.execute(_DEFERRED, (appliance_id, domain, after))]
        due = [Change(number, (State.QUEUED,), State.QUEUED, now) for number in ids]
        done = sum(statements.change(due, deltas, now))
        return done, ids[-1] if len(ids) == ROWS else None

    return work


def _slice(
    appliance_id: int, state: State, after: int, now: float, changes: Callable[[Iterable[Row]], list[Change]]
) -> Callable[[Statements, Deltas], Slice]:
    def work(statements: Statements, deltas: Deltas) -> Slice:
        rows = statements.execute(_PAGE, (appliance_id, state, after)).fetchall()
        done = sum(statements.change(changes(rows), deltas, now))
        return done, rows[-1][0] if len(rows) == ROWS else None

    return work
