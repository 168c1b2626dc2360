"""What operators do with the queue, from a process of their own: list, count, hold, release, retry, drop.

Each verb takes one :class:`~relay.queue.filter.Filter` and says how many recipients it changed. It works in slices of
500 rows, a transaction each with a pause after it, so that a running node goes on accepting; interrupted, it can be
repeated. What leaves (drop) leaves its trace like any other mail, with ``who`` did it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import Row, Select, func, select

from relay.appliances import wakes
from relay.db import Database
from relay.errors import DatabaseBusy
from relay.queue.commands import Change
from relay.queue.filter import Filter
from relay.queue.ledger import Deltas
from relay.queue.slices import PAUSE, ROWS
from relay.queue.statements import statements_on
from relay.queue.states import WAITING, Reason, State
from relay.queue.tables import PLACES, messages, recipients

NODE = "operator"
"""Whose rows the sums are added to."""
AGAIN = 3
"""Times that a slice is tried where a node's own changes of the same messages stand in its way."""


@dataclass(frozen=True, slots=True)
class Listed:
    """What a line of ``queue list`` shows: the recipients of one message and domain that share state and reason.

    ``next_attempt_at``: the nearest, None for as soon as health allows; ``last_reply``: of the latest attempt.
    ``evidence``: what is known of the sender, empty before anybody asked.
    """

    id: int
    domain: str
    sender: str
    recipients: tuple[str, ...]
    size: int
    received_at: float
    attempts: int
    next_attempt_at: float | None
    last_reply: str
    state: State
    reason: Reason | None
    evidence: str


def select_rows(db: Database, wanted: Filter, now: float, *, limit: int = 100, after: int = 0) -> list[Listed]:
    """Lines of whole messages beyond number ``after``, oldest first, up to the message that reaches ``limit``."""
    lines: list[Listed] = []
    for first, end in wanted.windows(db, after):
        while first < end and len(lines) < limit:
            with db.read() as connection:
                rows = connection.execute(
                    _matching(wanted, now, first, end).add_columns(messages, recipients).limit(ROWS)
                ).all()
                if len(rows) == ROWS:  # the last message may go on: take it whole
                    first = rows[-1][0] // PLACES * PLACES
                    more = _matching(wanted, now, first, first + PLACES).add_columns(messages, recipients)
                    rows = [row for row in rows if row[0] < first] + list(connection.execute(more))
                    first += PLACES
                else:
                    first = end
            for _, message in groupby(rows, key=lambda row: row[0] // PLACES):
                if len(lines) < limit:
                    lines += _lines(list(message))
        if len(lines) >= limit:
            break
    return lines


def count(db: Database, wanted: Filter, now: float, verb: Callable[..., int]) -> int:
    """How many recipients a verb (:func:`hold`, :func:`release`, :func:`retry`, :func:`drop`) would change."""
    total = 0
    for first, end in wanted.windows(db):
        matching = _matching(wanted, now, first, end).where(recipients.c.state.in_(_SOURCES[verb])).order_by(None)
        with db.read() as connection:
            total += connection.execute(select(func.count()).select_from(matching.subquery())).scalar_one()
    return total


def message_numbers(db: Database, wanted: Filter, now: float) -> Iterator[int]:
    """The numbers of all messages that match, oldest first."""
    for first, end in wanted.windows(db):
        with db.read() as connection:
            found = connection.execute(_messages(wanted, now, first, end).order_by(recipients.c.message_id))
            numbers = list(found.scalars())
        yield from numbers


def count_messages(db: Database, wanted: Filter, now: float, *, after: int, seconds: float) -> tuple[int, bool]:
    """How many messages beyond number ``after`` match; and whether that is all, or what was counted in ``seconds``."""
    total, began = 0, time.monotonic()
    for first, end in wanted.windows(db, after):
        if time.monotonic() - began > seconds:
            return total, False
        counting = select(func.count()).select_from(_messages(wanted, now, first, end).subquery())
        with db.read() as connection:
            total += connection.execute(counting).scalar_one()
    return total, True


def hold(db: Database, wanted: Filter, now: float, who: str) -> int:
    """Queued recipients are held (``operator``) until they are released."""
    return _change(db, wanted, now, hold, State.HELD, Reason.OPERATOR)


def stop(db: Database, now: float, who: str) -> int:
    """Nothing goes out by itself any more: what is queued is held, and also what is held for a reason that passes."""
    total = hold(db, Filter(), now, who)
    for reason in (Reason.BREAKER, Reason.FAILED):
        total += _change(db, Filter(reason=reason), now, stop, State.HELD, Reason.OPERATOR)
    return total


def release(db: Database, wanted: Filter, now: float, who: str) -> int:
    """Held recipients are queued again, to be tried as soon as health allows."""
    return _change(db, wanted, now, release, State.QUEUED)


def retry(db: Database, wanted: Filter, now: float, who: str) -> int:
    """Queued recipients lose their retry times: they are tried as soon as health allows."""
    return _change(db, wanted, now, retry, State.QUEUED)


def drop(db: Database, wanted: Filter, now: float, who: str) -> int:
    """Waiting recipients are given up, for good."""
    return _change(db, wanted, now, drop, State.DROPPED, reply=f"dropped by {who}")


_SOURCES: dict[Callable[..., int], tuple[State, ...]] = {
    hold: (State.QUEUED,),
    stop: (State.HELD,),
    release: (State.HELD,),
    retry: (State.QUEUED,),
    drop: WAITING,
}


def _matching(wanted: Filter, now: float, first: int, end: int) -> Select[Any]:
    return (
        select(recipients.c.id)
        .join(messages, messages.c.id == recipients.c.message_id)
        .where(recipients.c.id >= first, recipients.c.id < end, *wanted.conditions(now))
        .order_by(recipients.c.id)
    )


def _messages(wanted: Filter, now: float, first: int, end: int) -> Select[Any]:
    """The numbers of the messages that those recipients belong to."""
    return _matching(wanted, now, first, end).with_only_columns(recipients.c.message_id).distinct().order_by(None)


def _lines(rows: list[Row[Any]]) -> Iterator[Listed]:
    """The lines of one message."""
    groups: dict[tuple[str, str, str | None], list[Any]] = {}
    for row in rows:
        values = row._mapping
        key = values[recipients.c.domain], values[recipients.c.state], values[recipients.c.reason]
        groups.setdefault(key, []).append(values)
    for (domain, state, reason), group in groups.items():
        times = [row[recipients.c.next_attempt_at] for row in group]
        latest = max(group, key=lambda row: row[recipients.c.tried_at] or 0.0)
        yield Listed(
            id=latest[messages.c.id],
            domain=domain,
            sender=latest[messages.c.sender],
            recipients=tuple(row[recipients.c.address] for row in group),
            size=latest[messages.c.size],
            received_at=latest[messages.c.received_at],
            attempts=max(row[recipients.c.attempts] for row in group),
            next_attempt_at=None if None in times else min(times),
            last_reply=latest[recipients.c.last_reply],
            state=State(state),
            reason=Reason(reason) if reason else None,
            evidence=latest[messages.c.evidence] or "",
        )


def _change(
    db: Database,
    wanted: Filter,
    now: float,
    verb: Callable[..., int],
    state: State,
    reason: Reason | None = None,
    reply: str | None = None,
) -> int:
    total, sources = 0, _SOURCES[verb]
    for slice_ in _slices(db, wanted, now, sources):
        changes = [Change(number, sources, state, now, reason, reply) for number in slice_]
        total += _carry_out(db, changes, now)
        time.sleep(PAUSE)
    return total


def _slices(db: Database, wanted: Filter, now: float, sources: tuple[State, ...]) -> Iterator[list[int]]:
    """Matching recipients that a verb applies to, 500 at a time, each slice read in a transaction of its own."""
    for first, end in wanted.windows(db):
        while first < end:
            matching = _matching(wanted, now, first, end).where(recipients.c.state.in_(sources)).limit(ROWS)
            with db.read() as connection:
                ids = list(connection.execute(matching).scalars())
            if ids:
                yield ids
            first = ids[-1] + 1 if len(ids) == ROWS else end


def _carry_out(db: Database, changes: list[Change], now: float) -> int:
    for left in reversed(range(AGAIN)):
        deltas = Deltas()
        try:
            with db.write() as connection:
                statements = statements_on(connection)
                done = sum(statements.change(changes, deltas, now))
                statements.add_deltas(NODE, deltas)
                wakes.mark(connection, {appliance_id for appliance_id, _ in deltas.depths})
            return done
        except DatabaseBusy:
            if not left:
                raise
    raise AssertionError("the last attempt returns or raises")
