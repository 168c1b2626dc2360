"""How often the edge said no, by domain, reason and hour: counted in memory, written every few seconds, kept 30 days.

Counting costs the session an addition. A crash loses the counts of a few seconds; while the database can't be written
they gather, and past MOST of them are lost: mail is never held up for them.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from itertools import islice

from sqlalchemy import Connection, delete, func, select, text

from relay import events
from relay.clock import Clock
from relay.db import Database
from relay.edge.counts import HOUR
from relay.edge.tables import refusals

EVERY = 3.0
"""Seconds between two writes."""
SLICE = 500
"""Rows in one transaction."""
MOST = 50_000
"""Rows that may wait for a database that can't be written."""
KEPT_HOURS = 30 * 24

_ADD = text(
    "INSERT INTO refusals (hour, domain, reason, node, count) VALUES (:hour, :domain, :reason, :node, :count) "
    "ON CONFLICT (hour, domain, reason, node) DO UPDATE SET count = refusals.count + excluded.count"
)

Key = tuple[int, str, str]
"""(hour, domain, reason)"""


class Tally:
    """One for each node, whose name its rows bear. ``keeps_house``: whether it is this node that forgets, for all."""

    def __init__(
        self, db: Database, clock: Clock, node: str, *, keeps_house: Callable[[], bool] = lambda: True
    ) -> None:
        self._db = db
        self._clock = clock
        self._node = node
        self._keeps_house = keeps_house
        self._counts: Counter[Key] = Counter()
        self._turn = asyncio.Lock()
        self._forgot_at = -1

    def add(self, domains: Collection[str], reason: str) -> None:
        """A client was refused: once for each of the Gold domains that it was about, or for none."""
        hour = int(self._clock.now() // HOUR)
        for domain in domains or ("",):
            self._counts[hour, domain, reason] += 1

    async def run(self) -> None:
        """Write what has gathered, and forget what is old, until cancelled."""
        while True:
            await asyncio.sleep(EVERY)
            # Shielded: what is being written when the node stops is neither lost nor counted twice.
            await asyncio.shield(asyncio.ensure_future(self.write()))
            await self._forget()

    async def write(self) -> None:
        """Put down what has gathered. Never raises for a database that can't be written: the counts wait."""
        async with self._turn:
            counts, self._counts = self._counts, Counter()
            left = iter(list(counts.items()))
            while rows := list(islice(left, SLICE)):
                try:
                    await self._db.change(self._add, rows)
                except Exception as error:
                    events.fault("refusals", error)
                    for key, count in islice([*rows, *left], max(0, MOST - len(self._counts))):
                        self._counts[key] += count
                    return

    def _add(self, connection: Connection, counts: Sequence[tuple[Key, int]]) -> None:
        connection.execute(
            _ADD,
            [
                {"hour": hour, "domain": domain, "reason": reason, "node": self._node, "count": count}
                for (hour, domain, reason), count in counts
            ],
        )

    async def _forget(self) -> None:
        """Once an hour: remove what is older than 30 days, an hour's rows in a transaction."""
        hour = int(self._clock.now() // HOUR)
        try:
            while self._forgot_at != hour and self._keeps_house():
                if not await self._db.change(_forget_oldest, hour - KEPT_HOURS):
                    self._forgot_at = hour
        except Exception as error:
            events.fault("refusals", error)


def _forget_oldest(connection: Connection, before: int) -> bool:
    """False where nothing is that old."""
    oldest = connection.execute(select(func.min(refusals.c.hour))).scalar()
    if oldest is None or oldest >= before:
        return False
    connection.execute(delete(refusals).where(refusals.c.hour == oldest))
    return True
