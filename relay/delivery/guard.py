"""Holds the hand of a primary that has come back: the window for provisional outcomes, and the breaker.

One for each appliance, in memory and in its row (``drains``). Promises: what was refused while the return was recent
ends as ``failed`` only after a window that closed without the breaker, and in which something was taken; when the
breaker is released, everything it held is queued again before the drain goes on. An operator releases it by releasing
all that it held.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence

from relay import events
from relay.clock import Clock
from relay.db import Database
from relay.delivery import drains
from relay.delivery.breaker import KNOWN_FOR, Breaker, Ending, Heard, Trip, ending, nothing_taken, probe_every
from relay.delivery.drains import DrainState
from relay.queue.history import accepted_between, held_for, next_held
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
        self._tried_again = 0  # the last message of those held that was queued again, as a trial
        self._on_trial = False  # it has no answer yet

    async def load(self) -> None:
        """Read what was there before this node, or while another one was the owner."""
        async with self.lock:
            known, self._state = self._state, await self._db.run(drains.get_drain, self._appliance_id)
            if known is None and self._state is not None:
                self._judged = self._state.taken_at is not None  # who was before may not have come to the end

    async def returned(self, now: float) -> None:
        """The primary came back: a new window, and the breaker counts from nought."""
        async with self.lock:
            self._state = await self._db.change(drains.begin, self._appliance_id, now)
            self._breaker, self._judged = Breaker(), False
            self._known.clear()
            self._tried_again, self._on_trial = 0, False

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
        state = self._state
        return state is not None and (now < state.window_until or state.trip is not None or state.taken_at is None)

    def pause(self) -> float:
        """Seconds between two attempts while the drain is stopped."""
        state = self._state
        if state is None or state.trip is None or state.tripped_at is None:
            return 0.0
        return probe_every(state.trip, self._clock.now() - state.tripped_at)

    async def note(self, heard: Heard) -> None:
        """What recipients were told, after that was recorded; under the lock."""
        now = self._clock.now()
        if self._state is None:
            return
        if heard.taken and self._state.taken_at is None:
            self._state = await self._db.change(drains.take, self._state, now)
        if heard.rejected or heard.refused:
            self._on_trial = False
        if self._state.trip is not None:
            if await self._welcomes(heard, self._state, self._state.trip):
                await self._release(f"{heard.accepted[0]} is accepted again")
        elif self.provisional(now):
            await self._look_up(heard.refused, now)
            self._breaker = self._breaker.answered(len(heard.accepted), heard.deferred)
            for address in heard.refused:
                self._breaker = self._breaker.refuse(address, known=self._known[address.lower()])
            if heard.rejected:
                self._breaker = self._breaker.reject(heard.rejected, heard.reply)
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
            if self.trip is None or await self._held():
                return
            if not (self._on_trial and self._queue.depth(self._appliance_id).queued):
                await self._release("an operator")

    async def try_again(self) -> bool:
        """Queue one of the messages that are held again, each in its turn, to find out whether it is taken now; False
        where there is none."""
        async with self.lock:
            if self.trip is None:
                return False
            for after in (self._tried_again, 0):
                number = await self._db.run(next_held, self._appliance_id, Reason.BREAKER, after)
                if number is not None:
                    self._tried_again, self._on_trial = number, True
                    return await self._queue.release_message(self._appliance_id, Reason.BREAKER, number) > 0
            return False

    async def close_window(self, now: float) -> None:
        """If the window has passed without the breaker, what was provisional has failed; unless nothing was taken."""
        async with self.lock:
            state = await self._db.run(drains.get_drain, self._appliance_id)
            if state is None or state.trip is not None or now < state.window_until:
                return
            self._state = state
            taken, waiting = state.taken_at is not None, self._queue.depth(self._appliance_id)
            held = await self._held() if waiting.held else 0
            match ending(taken=taken, refusals=held, waiting=waiting.queued):
                case Ending.CLOSES:
                    await self._queue.convert(self._appliance_id, Reason.BREAKER, Reason.FAILED)
                    await self._db.change(drains.close, self._appliance_id)
                    self._state = None
                case Ending.TRIPS:
                    await self._trip(state, nothing_taken(held, self._breaker.reply))
                case Ending.STAYS_OPEN:
                    pass

    async def _judge(self, *, exhausted: bool) -> None:
        if self._state is not None:
            trip = self._breaker.trip(exhausted=exhausted, taken=self._state.taken_at is not None)
            if trip is not None:
                await self._trip(self._state, trip)

    async def _held(self) -> int:
        return await self._db.run(held_for, self._appliance_id, Reason.BREAKER)

    async def _trip(self, state: DrainState, trip: Trip) -> None:
        self._state = await self._db.change(drains.trip, state, trip, self._clock.now())
        events.breaker_tripped(self._name, trip.reason)

    async def _welcomes(self, heard: Heard, state: DrainState, trip: Trip) -> bool:
        """Whether somebody was told what the drain waits for."""
        if not trip.addresses:
            return heard.taken > 0
        return bool(heard.accepted) and (not trip.known or await self._anybody_known(heard.accepted, state))

    async def _release(self, by: str) -> None:
        if self._state is None or self._state.trip is None:
            return
        await self._queue.release(self._appliance_id, Reason.BREAKER)
        self._state = await self._db.change(drains.release, self._state, self._clock.now())
        self._breaker, self._on_trial = Breaker(), False
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
