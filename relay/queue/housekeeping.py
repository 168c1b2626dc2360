"""What the queue does by itself: watches its writer, says how deep it is, and forgets what is old, one node for all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from relay import events
from relay.clock import Clock
from relay.errors import DatabaseError, Deferred
from relay.queue import proofs
from relay.queue.ledger import Deltas
from relay.queue.slices import PAUSE, ROWS
from relay.queue.statements import Statements
from relay.queue.upload import remove_abandoned

LOOK = 10.0
"""Seconds between two looks at how deep the queue is."""
SWEEP = 600.0
"""Seconds between two sweeps of what is old."""
TRACE_KEPT = 30 * 86400.0
ARRIVALS_KEPT = 90 * 86400.0

Call = Callable[[Callable[[Statements, Deltas], Any]], Awaitable[Any]]


async def keep(
    ended: asyncio.Future[BaseException | None],
    call: Call,
    clock: Clock,
    count: Callable[[], None],
    may: Callable[[], bool],
) -> None:
    """Until cancelled, or until the writer ended: at once a DatabaseError if it did so by itself. ``may``: whether it
    is this node's turn to forget what is old."""
    swept_at = float("-inf")
    while not ended.done():
        count()
        try:
            if clock.monotonic() - swept_at >= SWEEP and may():
                swept_at = clock.monotonic()
                await sweep(call, clock.now())
        except Deferred as error:
            events.fault("housekeeping", error)
        await asyncio.wait([ended], timeout=LOOK)
    if (cause := ended.result()) is not None:
        raise DatabaseError(f"the writer ended: {cause}") from cause


async def sweep(call: Call, now: float) -> None:
    """Forget traces after 30 days, hourly sums after 90, proofs after an hour, content that never became mail after a
    day; a slice in a transaction each."""
    last: int | None = 0
    while last is not None:
        last = await call(partial(_forget_traces, now - TRACE_KEPT, last))
        await asyncio.sleep(PAUSE)
    await call(partial(_forget_arrivals, int((now - ARRIVALS_KEPT) // 3600)))
    await call(proofs.forget(now - proofs.REMEMBERED))
    removed = 1
    while removed:
        removed = await call(partial(remove_abandoned, now))
        await asyncio.sleep(PAUSE)


def _forget_traces(before: float, after: int, statements: Statements, _: Deltas) -> int | None:
    """A slice of what left before then; the number to go on after. Numbers are in the order of receipt, so the search
    ends with the first message that was received later."""
    rows = statements.execute(
        f"SELECT id, received_at, removed_at FROM trace WHERE id > ? ORDER BY id LIMIT {ROWS}",  # noqa: S608
        (after,),
    ).fetchall()
    old = [(number,) for number, _, removed_at in rows if removed_at < before]
    statements.executemany("DELETE FROM trace WHERE id = ?", old)
    if len(rows) < ROWS or rows[-1][1] >= before:
        return None
    return int(rows[-1][0])


def _forget_arrivals(before: int, statements: Statements, _: Deltas) -> None:
    statements.execute("DELETE FROM arrivals WHERE hour < ?", (before,))
