"""Mail goes out: a drain for each appliance that this node owns, that can be reached, and that has mail.

Drains are begun by health (the pulse), by wakes (mail was accepted, an operator released some) and by retry times, and
end when nothing is due: an appliance with nothing to do costs a sleeping task at most. Also closes the windows after
returns, and has what failed or expired judged and reported (relay.delivery.reports).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from sqlalchemy import Connection

from relay import events, settings
from relay.appliances.directory import Directory
from relay.appliances.evidence import Evidence
from relay.appliances.facts import Health
from relay.appliances.mx import Endpoints
from relay.appliances.progress import Progress
from relay.appliances.pulse import Pulse, Reach
from relay.clock import Clock
from relay.cluster.lease import POSTMASTER
from relay.db import Database
from relay.delivery import poison
from relay.delivery.breaker import WINDOW
from relay.delivery.drain import TICK, Drain
from relay.delivery.flaws import Flaws
from relay.delivery.greylisting import Appointments
from relay.delivery.guard import Guard
from relay.delivery.guards import Guards
from relay.delivery.journal import Journal
from relay.delivery.means import Means
from relay.delivery.memory import Memory
from relay.delivery.pace import Pace
from relay.delivery.poison import InFlight
from relay.delivery.reports.reporting import Reporting
from relay.delivery.route import Destination, Postmaster
from relay.mail import Reply
from relay.queue.queue import Queue

PAUSE = 5.0
"""Seconds after a drain that failed in a way nobody expected."""
UNCOUNTED = 3.0
"""Seconds for which mail that another node took may be missing in what this one has counted."""
UNTOLD = 10.0
"""Seconds between two looks for mail that nobody told of: the node that took it died before it could, or never heard
that its commit had taken place."""
CLOSE_WITHIN = 20.0
"""Seconds that close() takes at most."""


class Wake(Protocol):
    """relay.cluster.wake, as far as it is used here."""

    async def wait(self, appliance_id: int) -> None: ...


class Delivery:
    """One for each node. ``owns``: whether this node may begin work for an appliance; ``settling``: whether what can't
    be undone has to wait; ``heard``: told what primaries answered to RCPT."""

    def __init__(
        self,
        settings: settings.Settings,
        directory: Directory,
        db: Database,
        queue: Queue,
        pulse: Pulse,
        evidence: Evidence,
        endpoints: Endpoints,
        clock: Clock,
        owns: Callable[[int], bool],
        wake: Wake,
        *,
        settling: Callable[[float], bool] = lambda now: False,
        heard: Callable[[str, Reply], None] = lambda address, reply: None,
    ) -> None:
        self._directory = directory
        self._pulse = pulse
        self._clock = clock
        self._wake = wake
        self._endpoints = endpoints
        self._in_flight = InFlight(db.own_file(f"{settings.node.name}.inflight"))
        known = Flaws(clock), Appointments()
        self._means = Means(settings, db, queue, evidence, clock, owns, self._in_flight, {}, Memory(), heard, *known)
        self._reporting = Reporting(self._means, directory, endpoints, pulse, settling=settling)
        postmaster = Postmaster(settings.node.postmaster, directory, self._endpoints, pulse)
        self._destinations: dict[int, Destination] = {POSTMASTER: postmaster}
        self._guards = Guards(self._means, lambda appliance_id: self._destination(appliance_id).name)
        self._reached: dict[int, Reach] = {}
        self._listeners: dict[int, asyncio.Task[None]] = {}
        self._drains: dict[int, Drain] = {}
        self._journal = Journal(db, clock, settings.node.name, self._drains)
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._due: dict[int, float] = {}
        self._new: dict[int, float] = {}  # have come into reach, perhaps from another node: until when to count again
        self._look_for_untold_at = float("-inf")
        self._looking: asyncio.TimerHandle | None = None
        self._rests_until = 0.0
        self._closing = False

    async def run(self) -> None:
        """Work until cancelled. :meth:`close` ends what has been begun."""
        await self._remember_breakdowns()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(self._pulse.changed))
            group.create_task(self._follow(self._directory.changed))
            group.create_task(self._keep_time())
            group.create_task(self._reporting.run())
            group.create_task(self._journal.run())

    async def close(self) -> None:
        """Begin nothing more, finish what is in flight, write down its outcome; 20 s at most."""
        self._closing = True
        for listener in self._listeners.values():
            listener.cancel()
        for drain in self._drains.values():
            drain.stop()
        reporting = asyncio.create_task(self._reporting.close())
        if self._tasks:
            _, late = await asyncio.wait(self._tasks.values(), timeout=CLOSE_WITHIN)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._journal.close()
        await reporting
        self._in_flight.close()

    def reconfigure(self, delivery: settings.Delivery) -> None:
        """Take changed settings, for connections that are opened from now on."""
        self._means.settings = self._means.settings.model_copy(update={"delivery": delivery})

    def busy(self, appliance_id: int) -> bool:
        """Whether mail of an appliance is on its way, or an outcome not written yet: no other owner may begin."""
        return appliance_id in self._drains or self._reporting.busy(appliance_id)

    def progress(self, appliance_id: int) -> Progress | None:
        """How the drain of an appliance gets on; None where none is going on here."""
        drain = self._drains.get(appliance_id)
        return drain.progress() if drain else None

    def pace(self, appliance_id: int) -> Pace | None:
        """How hard it presses; None where none is going on here."""
        drain = self._drains.get(appliance_id)
        return drain.pace if drain else None

    # What begins a drain

    async def _follow(self, changed: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._look_soon()
        while True:
            await changed()
            self._look_soon()

    def _look_soon(self) -> None:
        """At once, or in a moment where a look takes long because there are thousands of appliances."""
        if self._looking is None:
            loop = asyncio.get_running_loop()
            self._looking = loop.call_at(self._rests_until, self._look)

    def _look(self) -> None:
        """Begin, or nudge, the drains of those that have come into reach, or are out of it now."""
        loop = asyncio.get_running_loop()
        began, self._looking = loop.time(), None
        self._compare()
        self._rests_until = loop.time() + 4 * (loop.time() - began)

    def _compare(self) -> None:
        before, self._reached = self._reached, {}
        for appliance_id in (POSTMASTER, *self._directory.snapshot.appliances):
            reach = self._reach(appliance_id)
            if reach is not Reach.NO:
                self._reached[appliance_id] = reach
            if reach is not before.get(appliance_id, Reach.NO):
                self._reach_changed(appliance_id, reach)
        for appliance_id in before.keys() - self._reached.keys():
            self._reach_changed(appliance_id, Reach.NO)

    def _reach(self, appliance_id: int) -> Reach:
        if self._closing or not self._means.owns(appliance_id):
            return Reach.NO
        return self._destination(appliance_id).reach()

    def _reach_changed(self, appliance_id: int, reach: Reach) -> None:
        if reach is Reach.NO:
            listener = self._listeners.pop(appliance_id, None)
            if listener is not None:
                listener.cancel()
        elif appliance_id not in self._listeners:
            self._listeners[appliance_id] = asyncio.create_task(self._listen(appliance_id))
        if reach is not Reach.NO and self._means.queue.depth(appliance_id).queued:
            self._begin(appliance_id)
        elif reach is not Reach.NO and appliance_id not in self._drains:
            self._new[appliance_id] = self._clock.monotonic() + UNCOUNTED
        elif appliance_id in self._drains:
            self._drains[appliance_id].nudge()

    async def _listen(self, appliance_id: int) -> None:
        while True:
            await self._wake.wait(appliance_id)
            self._begin(appliance_id)

    def _begin(self, appliance_id: int) -> None:
        drain = self._drains.get(appliance_id)
        if drain is not None:
            drain.nudge()
        elif self._reach(appliance_id) is not Reach.NO:
            self._drains[appliance_id] = drain = self._make(appliance_id)
            self._tasks[appliance_id] = asyncio.create_task(self._work(appliance_id, drain))

    def _make(self, appliance_id: int) -> Drain:
        guard = None if appliance_id == POSTMASTER else self._guards.of(appliance_id)
        return Drain(
            self._destination(appliance_id), guard, self._means, returned_at=self._returned_at(appliance_id, guard)
        )

    async def _work(self, appliance_id: int, drain: Drain) -> None:
        again: float | None = None
        try:
            again = await drain.run()
        except Exception as error:
            events.fault("delivery", error)
            again = self._clock.now() + PAUSE
        finally:
            del self._drains[appliance_id], self._tasks[appliance_id]
            self._journal.ended(drain)
        if drain.nudged:
            self._begin(appliance_id)
        elif again is not None:
            self._due[appliance_id] = again

    def _returned_at(self, appliance_id: int, guard: Guard | None) -> float | None:
        """When the appliance came back, if that is news; seen by its canary, or by its health if we missed that."""
        if guard is None:
            return None
        now, health = self._clock.now(), self._directory.health(appliance_id)
        if self._reach(appliance_id) is Reach.CANARY:
            return now
        lately = health.state is Health.UP and now - health.since < WINDOW
        return health.since if lately and guard.returned_at is None else None

    def _destination(self, appliance_id: int) -> Destination:
        destination = self._destinations.get(appliance_id)
        if destination is None:
            destination = Destination(appliance_id, self._directory, self._endpoints, self._pulse)
            self._destinations[appliance_id] = destination
        return destination

    # What comes with time

    async def _keep_time(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            now = self._clock.now()
            try:
                self._compare()
                self._count_again()
                for appliance_id in [each for each, at in self._due.items() if at <= now]:
                    del self._due[appliance_id]
                    self._begin(appliance_id)
                await self._look_for_untold()
                for appliance_id in await self._guards.look_after_returns(now, self._drains):
                    self._begin(appliance_id)
            except Exception as error:  # the database is busy: the next tick tries again
                events.fault("delivery", error)

    def _count_again(self) -> None:
        """What has come into reach may have mail that its last owner took, and that wasn't counted here then. Where
        there is none by now, no drain will say so: this does."""
        at = self._clock.monotonic()
        for appliance_id, until in list(self._new.items()):
            if self._means.queue.depth(appliance_id).queued:
                del self._new[appliance_id]
                self._begin(appliance_id)
            elif at >= until:
                del self._new[appliance_id]
                if appliance_id in self._reached:
                    self._means.evidence.note_oldest(appliance_id, None)

    async def _look_for_untold(self) -> None:
        """Begin where mail waits that no drain is at, and that nobody has put off. A wake is told after the commit, so
        it may be lost where mail never is; and a number that was drawn early may be committed late, behind the page
        that was read past it."""
        at = self._clock.monotonic()
        if at < self._look_for_untold_at:
            return
        self._look_for_untold_at = at + UNTOLD
        for appliance_id in self._reached.keys() - self._drains.keys():
            counted = self._means.queue.depth(appliance_id).queued
            if counted and (await self._means.queue.waiting(appliance_id)).undeferred_since is not None:
                self._begin(appliance_id)

    async def _remember_breakdowns(self) -> None:
        """What was in flight when the process before this one died counts against those messages."""
        left_over, now = self._in_flight.left_over, self._clock.now()
        if left_over:
            events.died_sending(len(left_over))
        while True:
            try:
                self._means.breakdowns.update(await self._means.db.change(_book_and_load, left_over, now))
                return
            except Exception as error:  # the database is busy or away: nothing is sent before this is known
                events.fault("delivery", error)
                await asyncio.sleep(PAUSE)


def _book_and_load(connection: Connection, left_over: frozenset[int], now: float) -> dict[int, int]:
    poison.book(connection, left_over, now)
    return poison.load(connection, now)
