"""Writes down how this node's drains get on, where operators and tickets see it (relay.appliances.progress).

One transaction every few seconds while there is a drain that has something to hand over, none otherwise. What a crash
cuts off is the progress of the last seconds; rows that an earlier process left are removed at the start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from sqlalchemy import Connection

from relay import events
from relay.appliances import progress
from relay.appliances.progress import Handback, Phase, Progress
from relay.clock import Clock
from relay.cluster.lease import POSTMASTER
from relay.db import Database
from relay.delivery.drain import Drain
from relay.delivery.meter import merged

EVERY = 3.0
"""Seconds between two writings."""


class Journal:
    """One for each node. ``drains``: those that go on, by appliance."""

    def __init__(self, db: Database, clock: Clock, node: str, drains: Mapping[int, Drain]) -> None:
        self._db = db
        self._clock = clock
        self._node = node
        self._drains = drains
        self._written: set[int] = set()
        self._written_at = clock.now()
        self._handbacks: dict[int, Handback] = {}

    async def run(self) -> None:
        """Until cancelled."""
        forgotten = False
        while True:
            try:
                if not forgotten:
                    await self._db.change(progress.forget, self._node)
                    forgotten = True
                await self.write()
            except Exception as error:  # the disk is full, or busy: the next time tells it
                events.fault("delivery", error)
            await asyncio.sleep(EVERY)

    def ended(self, drain: Drain) -> None:
        """A drain is over: what it handed over is written with the rest."""
        self._add(drain.take_handbacks())

    async def close(self) -> None:
        """Every drain has ended: write what they handed over, and that there are none any more."""
        try:
            await self.write()
            await self._db.change(progress.forget, self._node)
        except Exception as error:
            events.fault("delivery", error)

    async def write(self) -> None:
        """Write now. Raises DatabaseError; then nothing is lost, and written the next time."""
        found, now = [], self._clock.now()
        for appliance_id, drain in self._drains.items():
            self._add(drain.take_handbacks())
            present = drain.progress()
            told = drain.going_on and (present.left or present.phase is Phase.STOPPED)
            if told and appliance_id != POSTMASTER:
                found.append(present)
        over = self._written - {one.appliance_id for one in found}
        handbacks, since = self._handbacks, self._written_at
        if found or over or handbacks:
            self._handbacks = {}
            try:
                await self._db.change(_write, self._node, found, over, since, handbacks)
            except BaseException:
                self._add(handbacks)
                raise
        self._written, self._written_at = {one.appliance_id for one in found}, now

    def _add(self, handbacks: Mapping[int, Handback]) -> None:
        for outage_id, more in handbacks.items():
            self._handbacks[outage_id] = merged(self._handbacks.get(outage_id, Handback()), more)


def _write(
    connection: Connection,
    node: str,
    found: Iterable[Progress],
    over: Iterable[int],
    since: float,
    handbacks: Mapping[int, Handback],
) -> None:
    progress.write(connection, node, found, over)
    progress.add_handbacks(connection, since, handbacks)
