"""The loop of the syncs: each appliance that this node owns, when it is due, many side by side.

A directory that hangs costs a socket and its own turn, no thread, and holds up no other customer's. What fails in a way
that nobody foresaw is logged, and tried again later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sqlalchemy import Connection

from relay import events
from relay.appliances.directory import Directory
from relay.appliances.model import RecipientPolicy
from relay.clock import Clock
from relay.db import Database
from relay.recipients.sync.decide import RETRY, due_at
from relay.recipients.sync.store import DirectorySync, find_all
from relay.recipients.sync.syncer import Syncer

TICK = 1.0
AGAIN = 5.0
"""Seconds before one that was overtaken is looked at again."""
TOGETHER = 64
"""Syncs at the same time: a directory that hangs is waited for half a minute, and thousands may be due in an hour."""


class Syncs:
    """One for each node. ``owns``: whether this node may begin work for an appliance; ``holds``: the same, asked of the
    database in the transaction that keeps what was found."""

    def __init__(
        self,
        db: Database,
        directory: Directory,
        syncer: Syncer,
        clock: Clock,
        owns: Callable[[int], bool],
        holds: Callable[[Connection, int], bool],
    ) -> None:
        self._db = db
        self._directory = directory
        self._syncer = syncer
        self._clock = clock
        self._owns = owns
        self._holds = holds
        self._version = 0
        self._known: dict[int, DirectorySync] = {}
        self._not_before: dict[int, float] = {}
        self._running: dict[int, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                try:
                    await self._follow()
                    self._begin_due()
                except Exception as error:  # what there is to do can't be read
                    events.fault("sync", error)
                await asyncio.sleep(TICK)
        finally:
            for task in self._running.values():
                task.cancel()
            await asyncio.gather(*self._running.values(), return_exceptions=True)
            self._syncer.close()

    async def _follow(self) -> None:
        """Read the directories again where anything has changed."""
        version = self._directory.snapshot.version
        if version != self._version:
            self._known = await self._db.run(find_all)
            self._version = version

    def _begin_due(self) -> None:
        now, monotonic = self._clock.now(), self._clock.monotonic()
        due = []
        for number, sync in self._known.items():
            if number in self._running or not self._owns(number) or self._not_before.get(number, monotonic) > monotonic:
                continue
            listed = [
                one.name for one in self._directory.domains_of(number) if one.recipients is RecipientPolicy.LISTED
            ]
            at = due_at(sync.directory, sync.state, listed)
            if at is not None and at <= now:
                due.append((at, number))
        for _, number in sorted(due)[: max(TOGETHER - len(self._running), 0)]:
            self._running[number] = asyncio.create_task(self._sync(number))

    async def _sync(self, number: int) -> None:
        try:
            appliance = self._directory.appliance(number)
            report = await self._syncer.sync(appliance, holds=self._holds) if appliance else None
            if report is not None and report.kept and number in self._known:
                self._known[number] = DirectorySync(self._known[number].directory, report.state)
            else:  # the ground has changed: look again
                self._version = 0
                self._not_before[number] = self._clock.monotonic() + AGAIN
        except Exception as error:
            events.fault("sync", error)
            self._not_before[number] = self._clock.monotonic() + RETRY
        finally:
            del self._running[number]
