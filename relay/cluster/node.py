"""This node in its cluster: its name, its lease, what it owns, and whether its clock can be trusted yet.

Promises: a name runs once at a time on a database (relay.cluster.name); ``owns`` is answered from memory
(relay.cluster.holdings) and is False as soon as the last successful renewal is too old, whatever has hung in between;
two live nodes never own one appliance. The lease is renewed in a thread and on a connection of its own, so that neither
a busy loop nor a long queue of writes kills it. A node that can't renew begins nothing and goes on trying; it ends only
when its name has been taken over.

What this node has too much of goes to others, a portion at a time: from then on ``owns`` says no, nothing more is
begun; when nobody is ``busy`` with it any more, its outcomes written, the row gets its new owner. If this process dies
in between, it is still the owner, and dead.
"""

from __future__ import annotations

import asyncio
import os
import threading
import uuid
from collections.abc import Callable, Collection, Sequence
from typing import Any

from sqlalchemy import Connection

from relay import events, settings
from relay.appliances.directory import Directory
from relay.appliances.facts import raise_version
from relay.appliances.pulse import Pulse
from relay.clock import Clock
from relay.cluster import lease, name
from relay.cluster.holdings import Holdings
from relay.cluster.lease import LeaseLost, View
from relay.cluster.observer import Observer, Timing
from relay.cluster.settling import when_settled
from relay.cluster.skew import Skew
from relay.cluster.spread import heirs
from relay.cluster.vouching import behind
from relay.db import Database, revisions
from relay.errors import DatabaseError

RETRY = 0.5
"""Seconds after a renewal that failed."""
HAND_OVER = 0.1
"""Seconds between two looks at whether what is to be handed over is at rest."""


class Node:
    """One running node. ``start`` before anything else begins, ``close`` after everything else has ended."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        settings: settings.Node,
        listeners: Sequence[str],
        version: str,
        directory: Directory,
        *,
        timing: Timing | None = None,
        pulse: Pulse | None = None,
    ) -> None:
        self.name = settings.name
        self._db = db
        self._clock = clock
        self._directory = directory
        self._pulse = pulse or Pulse()
        self._timing = timing or Timing()
        self._instance = uuid.uuid4().hex  # tells this start of the name from any other
        self._about: dict[str, Any] = {
            "hostname": settings.hostname,
            "version": version,
            "listeners": list(listeners),
            "settles_at": None,
            "isolated": "",
            "behind": None,
            "skew": None,
        }
        self._observer = Observer(self._timing)
        self._holdings = Holdings(self.name, clock, self._timing)
        self._busy: Callable[[int], bool] | None = None
        self._going = asyncio.Event()
        self._failing = False  # the last renewal failed, which has been said
        self._skew = Skew(clock)
        self._lock: int | None = None
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._kick = threading.Event()
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed = asyncio.Event()
        self._failure: LeaseLost | None = None

    def owns(self, appliance_id: int) -> bool:
        """Whether this node may begin work for an appliance now."""
        return self._holdings.owns(appliance_id)

    def holds(self, connection: Connection, appliance_id: int) -> bool:
        """The same, asked of the database inside the transaction that decides something: the fence."""
        return lease.holds(connection, self.name, appliance_id, self._holdings.epochs.get(appliance_id))

    def settling(self, now: float) -> bool:
        """Whether what can't be undone has to wait, because the clock looked wrong at the start."""
        settles_at: float | None = self._about["settles_at"]
        return settles_at is not None and now < settles_at

    def announce(self, listeners: Sequence[str]) -> None:
        """Where the node really listens, for ``relayctl status``."""
        self._about["listeners"] = list(listeners)
        self._kick.set()

    def isolated(self, reason: str) -> None:
        """Why this node takes itself for cut off, for ``relayctl status`` and ``doctor``; empty: it doesn't."""
        self._about["isolated"] = reason
        self._kick.set()

    @property
    def others(self) -> list[str]:
        """The other nodes that live, as of the last renewal."""
        return [peer.name for peer in self._holdings.peers if peer.name != self.name]

    @property
    def gives_way(self) -> bool:
        """Whether an operator has asked this node to drain, and another one is there to take its place."""
        mine = next((peer for peer in self._holdings.peers if peer.name == self.name), None)
        return mine is not None and mine.draining and not any(peer.draining for peer in heirs(self._holdings.peers))

    def give(self, appliance_id: int, to: Collection[str]) -> str | None:
        """Hand an appliance over to one of those: begin nothing more for it, finish what is in flight, release it.

        Returns whose it will be; None where none of them lives, or it isn't ours.
        """
        chosen = self._holdings.give(appliance_id, to)
        if chosen is not None:
            self._directory.look_again()
            self._going.set()
        return chosen

    async def start(self) -> None:
        """Take the name and the first lease. Raises StartFailed where the name runs already, DatabaseError."""
        self._loop = asyncio.get_running_loop()
        self._lock, before = name.lock(self._db.own_file(f"{self.name}.lock"), self.name, self._instance)
        try:
            await name.make_sure(self._db, self.name, before, self._timing.renew)
            self._about["settles_at"] = await self._db.run(when_settled, self.name, self._clock.now())
            await self._db.change(self._register)
            await self._loop.run_in_executor(None, self._renew)
        except BaseException:
            self._unlock()
            raise
        self._thread.start()
        await self._directory.refresh()

    async def run(self, busy: Callable[[int], bool] = lambda appliance_id: False) -> None:
        """Claim appliances as they are added, hand over what others should have, and have everybody look again when
        owners change. ``busy``: whether something for an appliance is under way. Raises LeaseLost when another process
        has taken this node's name."""
        self._busy = busy
        tasks = [asyncio.create_task(self._claim_what_is_new()), asyncio.create_task(self._hand_over())]
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                if self._failure is not None:
                    raise self._failure
                self._going.set()
                try:
                    fresh = await self._directory.refresh()
                except Exception as error:  # the database is busy or away: again, soon
                    events.fault("lease", error)
                    await asyncio.sleep(RETRY)
                    self._changed.set()
                    continue
                if not fresh:
                    self._directory.look_again()
        finally:
            for task in tasks:
                task.cancel()

    async def close(self) -> None:
        """Release what is owned, so that another node goes on at once, and give the name back."""
        if self._loop is None or self._lock is None:
            return
        self._stopping = True
        self._holdings.drop()
        self._kick.set()
        try:
            if self._thread.ident is not None:
                await self._loop.run_in_executor(None, self._thread.join)
            self._holdings.drop()
            try:
                await self._db.change(lease.release, self.name, self._instance, self._clock.now(), self._holdings.peers)
            except DatabaseError as error:  # busy or away: the others see by the counter that we are gone
                events.fault("lease", error)
        finally:
            self._unlock()

    async def _claim_what_is_new(self) -> None:
        """Renew at once where that would change what we own: appliances were added, given to us, or lie about."""
        present: set[int] = set()
        changes: tuple[Any, ...] = ()
        while True:
            try:
                before, present = present, set(self._directory.snapshot.appliances)
                known, changes = changes, await self._db.run(lease.changes, self.name)
                if present != before or changes != known:
                    self._kick.set()
            except Exception as error:  # the database is busy: the next renewal finds out
                events.fault("lease", error)
                await asyncio.sleep(RETRY)
            await self._directory.changed()

    async def _hand_over(self) -> None:
        """Say what is at rest of that which others should have; the thread hands it over."""
        while True:
            await self._going.wait()
            self._going.clear()
            while leaving := self._holdings.leaving:
                if ready := {number for number in leaving if not (self._busy and self._busy(number))}:
                    self._holdings.rest(ready)
                    self._kick.set()
                await asyncio.sleep(HAND_OVER)

    def _register(self, connection: Connection) -> None:
        lease.register(
            connection,
            self.name,
            self._instance,
            self._clock.now(),
            drift=self._clock.drift(),
            revision=revisions()[-1],
            **self._about,
        )

    # In the thread

    def _keep(self) -> None:
        while True:
            # Not a whole renewal later than can be: who is replaced soon is missed by nobody.
            next_look = min(self._timing.renew, self._observer.next_death(self._clock.monotonic()))
            self._kick.wait(RETRY if self._failing else next_look)
            self._kick.clear()
            if self._stopping:
                return
            try:
                self._renew()
            except LeaseLost as error:
                self._holdings.drop()
                events.lease_lost(self.name, str(error))
                self._failure = error
                self._signal()
                return
            except Exception as error:  # whatever it is, it may pass; until then nothing is begun
                if not self._failing:
                    events.lease_lost(self.name, f"it can't be renewed: {error}")
                self._failing = True

    def _renew(self) -> None:
        began = self._clock.monotonic()
        # Each beside what others write, for which it mustn't wait.
        with self._db.write_beside() as connection:
            self._about["skew"] = self._skew.measure(connection)
            late = behind(self._holdings.epochs, self._directory.snapshot.health, self._pulse, self._clock.monotonic())
            about = {**self._about, "drift": self._clock.drift(), "behind": late}
            if not lease.renew(connection, self.name, self._instance, self._clock.now(), **about):
                self._register(connection)
        self._release_what_is_ready()
        # Only now, when nobody can take us for dead any more: what is ours in this look is ours until we rest.
        with self._db.read() as connection:
            view = lease.look(connection, self.name, self._observer, began)
        if view.orphans or view.gone:
            with self._db.write_beside() as connection:
                view = lease.claim(connection, self.name, self._observer, began)
        lapsed = self._holdings.lapsed
        lost = self._take(view, began)
        if lapsed and view.owned:
            with self._db.write_beside() as connection:
                raise_version(connection)  # those who found that we own nothing look again
        if self._failing:
            self._failing = False
            events.lease_regained(self.name)
        if lost:
            events.lease_lost(self.name, f"another node has taken {lost} appliances over")

    def _release_what_is_ready(self) -> None:
        """Here and not on the loop: what we own is read, and given away, by one thread, one after the other."""
        if ready := self._holdings.ready():
            with self._db.write_beside() as connection:
                lease.hand_over(connection, self.name, ready, [peer.name for peer in self._holdings.peers])
            events.handed_over(self.name, len(ready), sorted({to for _, to in ready.values()}))

    def _take(self, view: View, began: float) -> int:
        """Own what the look says from now on, and have everybody hear of it; how much was taken from us."""
        change = self._holdings.take(view, began, self._busy)
        self._pulse.hear(view.vouched, began)
        if change.owned:
            events.appliance_taken(self.name, len(view.owned))
        if change.owned or change.leaving:
            self._signal()
        return change.lost

    def _signal(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._changed.set)

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
