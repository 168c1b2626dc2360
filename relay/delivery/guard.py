"""Holds the hand of a primary that has come back: the window for provisional outcomes, and the breaker.

One for each appliance, in memory and in its row (``drains``). Promises: what was refused while the return was recent
ends as ``failed`` only after a window that closed without the breaker; when the breaker is released, everything it
held is queued again before the drain goes on. An operator releases it by releasing all that it held.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence

from relay import events
from relay.clock import Clock
from relay.db import Database
from relay.delivery import drains
from relay.delivery.breaker import KNOWN_FOR, Breaker, Trip
from relay.delivery.drains import DrainState
from relay.queue.history import accepted_between, held_for
from relay.queue.queue import Queue
from relay.queue.states import Reason


class Guard:
    """``lock`` is held while outcomes are decided and recorded, so that a window doesn't close in the middle."""

    def __init__(self, appliance_id: int, name: str, db: Database, queue: Queue, clock: Clock) -> None:
        self.lock = asyncio.Lock()
        self._appliance_id = appliance_id
        self._name = name
        self._db = db
        self._queue = queue
        self._clock = clock
        self._state: DrainState | None = None
        self._breaker = Breaker()
        self._known: dict[str, bool] = {}
        self._judged = True  # whether the backlog of this return came to its end once

    async def load(self) -> None:
        """Read what was there before this node, or while another one was the owner."""
        async with self.lock:
            self._state = await self._db.run(drains.get_drain, self._appliance_id)

    async def returned(self, now: float) -> None:
        """The primary came back: a new window, and the breaker counts from nought."""
        async with self.lock:
            self._state = await self._db.change(drains.begin, self._appliance_id, now)
            self._breaker, self._judged = Breaker(), False
            self._known.clear()

    @property
    def returned_at(self) -> float | None:
        """The last return, if its window is still open or the breaker has tripped since."""
        return self._state.returned_at if self._state else None

    @property
    def trip(self) -> Trip | None:
        """Why the drain is stopped; None where it isn't."""
        return self._state.trip if self._state else None

    def provisional(self, now: float) -> bool:
        """Whether a 5xx of ``now`` is held as ``breaker`` instead of ``failed``."""
        return self._state is not None and (now < self._state.window_until or self._state.trip is not None)

    async def note(self, accepted: Sequence[str], deferred: int, refused: Sequence[str]) -> None:
        """What recipients were told at RCPT, after that was recorded; under the lock."""
        state, now = self._state, self._clock.now()
        if state is None:
            return
        if state.trip is not None:
            if accepted and (not state.trip.known or await self._anybody_known(accepted, state)):
                await self._release(f"{accepted[0]} is accepted again")
        elif now < state.window_until:
            await self._look_up(refused, now)
            self._breaker = self._breaker.answered(len(accepted) + deferred)
            for address in refused:
                self._breaker = self._breaker.refuse(address, known=self._known[address.lower()])
            await self._judge(exhausted=False)

    async def exhausted(self) -> None:
        """Nothing is left to try; what comes later is judged by its share alone."""
        if self._judged:
            return
        async with self.lock:
            if self.trip is None:
                await self._judge(exhausted=True)
            self._judged = True  # only now: a verdict that couldn't be written is given again

    async def asked(self, address: str) -> None:
        """An address that the breaker tripped for would be accepted now."""
        async with self.lock:
            await self._release(f"{address} would be accepted again")

    async def look(self) -> None:
        """Whether an operator has released what the breaker held, or dropped it: nothing of it is left."""
        async with self.lock:
            if self.trip is not None and not await self._db.run(held_for, self._appliance_id, Reason.BREAKER):
                await self._release("an operator")

    async def close_window(self, now: float) -> None:
        """If the window has passed without the breaker, what was provisional has failed."""
        async with self.lock:
            state = await self._db.run(drains.get_drain, self._appliance_id)
            if state is not None and state.trip is None and now >= state.window_until:
                await self._queue.convert(self._appliance_id, Reason.BREAKER, Reason.FAILED)
                await self._db.change(drains.close, self._appliance_id)
                self._state = None

    async def _judge(self, *, exhausted: bool) -> None:
        trip = self._breaker.trip(exhausted=exhausted)
        if trip is not None and self._state is not None:
            self._state = await self._db.change(drains.trip, self._state, trip, self._clock.now())
            events.breaker_tripped(self._name, trip.reason)

    async def _release(self, by: str) -> None:
        if self._state is None or self._state.trip is None:
            return
        await self._queue.release(self._appliance_id, Reason.BREAKER)
        self._state = await self._db.change(drains.release, self._state, self._clock.now())
        self._breaker = Breaker()
        events.breaker_released(self._name, by)

    async def _look_up(self, addresses: Collection[str], now: float) -> None:
        unknown = {address.lower() for address in addresses} - self._known.keys()
        if unknown:
            known = await self._accepted(unknown, now - KNOWN_FOR, now)
            self._known |= {address: address in known for address in unknown}

    async def _anybody_known(self, addresses: Sequence[str], state: DrainState) -> bool:
        before = state.tripped_at or state.returned_at
        return bool(await self._accepted({address.lower() for address in addresses}, before - KNOWN_FOR, before))

    async def _accepted(self, addresses: Collection[str], since: float, before: float) -> set[str]:
        return await asyncio.to_thread(accepted_between, self._db, self._appliance_id, addresses, since, before)
