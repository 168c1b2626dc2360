"""This node in its cluster: its name, its lease, what it owns, and whether its clock can be trusted yet.

Promises: a name runs once at a time on a database (relay.cluster.name); ``owns`` is answered from memory and is
False as soon as the last successful renewal is too old, whatever has hung in between; two live nodes never own one
appliance. The lease is renewed in a thread and on a connection of its own, so that neither a busy loop nor a long
queue of writes kills it. A node that can't renew begins nothing and goes on trying; it ends only when its name has
been taken over.
"""

from __future__ import annotations

import asyncio
import os
import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, func, select

from relay import events, settings
from relay.appliances.directory import Directory
from relay.appliances.facts import raise_version
from relay.clock import DRIFT_LIMIT, Clock
from relay.cluster import lease, name
from relay.cluster.lease import LeaseLost, Observer, Timing
from relay.cluster.tables import nodes
from relay.db import Database

SETTLE = 3600.0
"""Seconds for which a node that doubts its clock puts off what can't be undone."""
AHEAD_LIMIT = 86400.0
RETRY = 0.5
"""Seconds after a renewal that failed."""


@dataclass(frozen=True, slots=True)
class _Lease:
    """What we own (epochs by appliance id), and until when that may be relied on (monotonic seconds)."""

    owned: dict[int, int] = field(default_factory=dict)
    valid_until: float = float("-inf")


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
    ) -> None:
        self.name = settings.name
        self._db = db
        self._clock = clock
        self._directory = directory
        self._timing = timing or Timing()
        self._instance = uuid.uuid4().hex  # tells this start of the name from any other
        self._about: dict[str, Any] = {
            "hostname": settings.hostname,
            "version": version,
            "listeners": list(listeners),
            "settles_at": None,
            "isolated": "",
        }
        self._observer = Observer(self._timing)
        self._lease = _Lease()
        self._failing = False  # the last renewal failed, which has been said
        self._lock: int | None = None
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._kick = threading.Event()
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed = asyncio.Event()
        self._failure: LeaseLost | None = None

    def owns(self, appliance_id: int) -> bool:
        """Whether this node may begin work for an appliance now."""
        held = self._lease
        return appliance_id in held.owned and self._clock.monotonic() < held.valid_until

    def holds(self, connection: Connection, appliance_id: int) -> bool:
        """The same, asked of the database inside the transaction that decides something: the fence."""
        return lease.holds(connection, self.name, appliance_id, self._lease.owned.get(appliance_id))

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

    async def start(self) -> None:
        """Take the name and the first lease. Raises StartFailed where the name runs already, DatabaseError."""
        self._loop = asyncio.get_running_loop()
        self._lock, before = name.lock(self._db.own_file(f"{self.name}.lock"), self.name, self._instance)
        try:
            await name.make_sure(self._db, self.name, before, self._timing.renew)
            self._about["settles_at"] = await self._db.run(self._settles_at, self._clock.now())
            await self._db.change(self._register)
            await self._loop.run_in_executor(None, self._renew)
        except BaseException:
            self._unlock()
            raise
        self._thread.start()
        await self._directory.refresh()

    async def run(self) -> None:
        """Claim appliances as they are added, and tell the directory when owners change. Raises LeaseLost when
        another process has taken this node's name."""
        claims = asyncio.create_task(self._claim_what_is_new())
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                if self._failure is not None:
                    raise self._failure
                try:
                    await self._directory.refresh()
                except Exception as error:  # the database is busy or away: again, soon
                    events.fault("lease", error)
                    await asyncio.sleep(RETRY)
                    self._changed.set()
        finally:
            claims.cancel()

    async def close(self) -> None:
        """Release what is owned, so that another node goes on at once, and give the name back."""
        if self._loop is None or self._lock is None:
            return
        self._stopping = True
        self._lease = _Lease()
        self._kick.set()
        try:
            if self._thread.ident is not None:
                await self._loop.run_in_executor(None, self._thread.join)
            self._lease = _Lease()
            await self._db.change(lease.release, self.name, self._instance, self._clock.now())
        finally:
            self._unlock()

    async def _claim_what_is_new(self) -> None:
        known: set[int] = set()
        while True:
            present = set(self._directory.snapshot.appliances)
            if present != known:
                known = present
                self._kick.set()
            await self._directory.changed()

    def _register(self, connection: Connection) -> None:
        lease.register(
            connection, self.name, self._instance, self._clock.now(), drift=self._clock.drift(), **self._about
        )

    def _settles_at(self, connection: Connection, now: float) -> float | None:
        own = connection.execute(
            select(nodes.c.heartbeat_at, nodes.c.settles_at).where(nodes.c.name == self.name)
        ).first()
        last = own.heartbeat_at if own else connection.execute(select(func.max(nodes.c.heartbeat_at))).scalar()
        return settles_at(now, last, own.settles_at if own else None)

    # In the thread

    def _keep(self) -> None:
        while True:
            self._kick.wait(RETRY if self._failing else self._timing.renew)
            self._kick.clear()
            if self._stopping:
                return
            try:
                self._renew()
            except LeaseLost as error:
                self._lease = _Lease()
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
        before = self._lease.owned
        with self._db.write_beside() as connection:  # it mustn't wait for what others write
            lease.take_turn(connection)
            about = {**self._about, "drift": self._clock.drift()}
            if not lease.renew(connection, self.name, self._instance, self._clock.now(), **about):
                self._register(connection)
            owned = lease.claim(connection, self.name, self._observer, began)
            lost = lease.owned_by_others(connection, self.name, before.keys() - owned.keys())
            if owned and self._lease.valid_until <= self._clock.monotonic():
                raise_version(connection)  # those who found that we own nothing look again
        self._lease = _Lease(owned, began + self._timing.dead_after - self._timing.margin)
        if self._failing:
            self._failing = False
            events.lease_regained(self.name)
        if lost:
            events.lease_lost(self.name, f"another node has taken {lost} appliances over")
        if owned != before:
            events.appliance_taken(self.name, len(owned))
            self._signal()

    def _signal(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._changed.set)

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def settles_at(now: float, last_heartbeat: float | None, before: float | None) -> float | None:
    """Until when a node that starts at ``now`` must put off what can't be undone; None: it needn't.

    The wall clock is doubted when it stands behind the ``last_heartbeat`` (by more than the drift that is tolerated
    anyway) or over 24 h ahead of it; ``before``: what an earlier start had decided and a restart doesn't cut short.
    """
    if last_heartbeat is not None and not -DRIFT_LIMIT <= now - last_heartbeat <= AHEAD_LIMIT:
        return now + SETTLE
    return before if before is not None and now < before <= now + SETTLE else None
