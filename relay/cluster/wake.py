"""Waking those who work for an appliance: mail was accepted, an operator released some, another process changed it.

Inside the process that is immediate. For other processes on the same database a thread waits until somebody has
committed (relay.cluster.commits), and only then looks at what is new: facts, for which the directory is refreshed, and
marks (relay.appliances.wakes). A look that fails is tried again; nothing rests on a wake but speed.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable

from relay import events
from relay.appliances import facts, wakes
from relay.appliances.directory import Directory
from relay.cluster.commits import Commits, commits
from relay.db import Database

LOOK_EVERY = 0.25
"""Seconds."""


class Wake:
    """One for each node. ``owns``: whether an appliance is worked for here; for others a mark is left."""

    def __init__(self, db: Database, directory: Directory, owns: Callable[[int], bool]) -> None:
        self._db = db
        self._directory = directory
        self._owns = owns
        self._events: dict[int, asyncio.Event] = {}
        self._foreign: set[int] = set()
        self._elsewhere = asyncio.Event()
        self._news = asyncio.Event()

    def notify(self, appliance_ids: Iterable[int]) -> None:
        """There may be something to do for these appliances, here or at another node."""
        for appliance_id in appliance_ids:
            self._event(appliance_id).set()
            if not self._owns(appliance_id):
                self._foreign.add(appliance_id)
                self._elsewhere.set()

    async def wait(self, appliance_id: int) -> None:
        """Return when there may be something to do; at once if that was so since the last return. For one waiter."""
        event = self._event(appliance_id)
        await event.wait()
        event.clear()

    async def run(self) -> None:
        """Carry wakes between processes."""
        stop = threading.Event()
        look = threading.Thread(target=self._look, args=(asyncio.get_running_loop(), stop), name="wake", daemon=True)
        tell = asyncio.create_task(self._tell_others())
        look.start()
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                try:
                    await self._directory.refresh()
                except Exception as error:  # the database is busy or away: the next look tries again
                    events.fault("wake", error)
                    await asyncio.sleep(LOOK_EVERY)
                    self._news.set()
        finally:
            tell.cancel()
            stop.set()
            await asyncio.to_thread(look.join)

    async def _tell_others(self) -> None:
        while True:
            await self._elsewhere.wait()
            self._elsewhere.clear()
            foreign, self._foreign = self._foreign, set()
            try:
                await self._db.change(wakes.mark, foreign)
            except Exception as error:
                events.fault("wake", error)
                self._foreign |= foreign
                self._elsewhere.set()
            await asyncio.sleep(LOOK_EVERY)  # a flood of mail for one appliance is one mark each time

    def _look(self, loop: asyncio.AbstractEventLoop, stop: threading.Event) -> None:
        version, number = None, 0  # old marks wake too: once more than needed is no harm
        source: Commits | None = None
        while not stop.is_set():
            try:
                source = source or commits(self._db)
                if not source.heard():
                    continue
                with self._db.read() as connection:
                    now_version = facts.version(connection)
                    number, marked = wakes.since(connection, number)
                if version != now_version:
                    loop.call_soon_threadsafe(self._news.set)
                if marked:
                    loop.call_soon_threadsafe(self._wake, marked)
                version = now_version
            except Exception as error:
                events.fault("wake", error)
                if source is not None:
                    source.close()
                    source = None
                stop.wait(LOOK_EVERY)
        if source is not None:
            source.close()

    def _wake(self, appliance_ids: set[int]) -> None:
        for appliance_id in appliance_ids:
            self._event(appliance_id).set()

    def _event(self, appliance_id: int) -> asyncio.Event:
        event = self._events.get(appliance_id)
        if event is None:
            event = self._events[appliance_id] = asyncio.Event()
        return event
