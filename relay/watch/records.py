"""Health as it is written down: when it changes, and only where the appliance is still this node's.

What can't be written now is written later, as it is by then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from relay import events
from relay.appliances import facts
from relay.appliances.directory import Directory
from relay.appliances.facts import HealthFact
from relay.appliances.model import Appliance, Primary
from relay.db import Database
from relay.errors import DatabaseAway, DatabaseBusy, DatabaseFull

RETRY = 1.0
"""Seconds before a write that failed is tried again."""


@dataclass(slots=True)
class Watched:
    """An appliance that this node watches: what is known of its health, and what of that is ``written``. ``found``:
    what it was when we began with it, at ``began``."""

    appliance: Appliance
    fact: HealthFact
    written: HealthFact
    found: HealthFact
    began: float
    primaries: tuple[Primary, ...] = ()


class Records:
    """One for each node. ``watched``: those of its watcher; ``holds``: the fence."""

    def __init__(
        self,
        watched: Mapping[int, Watched],
        db: Database,
        directory: Directory,
        holds: Callable[[Connection, int], bool],
    ) -> None:
        self._watched = watched
        self._db = db
        self._directory = directory
        self._holds = holds
        self._unwritten: set[int] = set()
        self._writing: set[int] = set()
        self._dirty = asyncio.Event()

    def look_at(self, appliance_id: int) -> None:
        """Its health may have changed."""
        watched = self._watched[appliance_id]
        if watched.fact != watched.written:
            self._unwritten.add(appliance_id)
            self._dirty.set()

    def compare(self, appliance_id: int) -> None:
        """What stands in the database is the last word of a former owner where that came after we had looked."""
        watched, found = self._watched[appliance_id], self._directory.health(appliance_id)
        if found is not watched.written and appliance_id not in self._writing:
            watched.written = found
            self.look_at(appliance_id)

    async def run(self) -> None:
        """Write what has changed, until cancelled."""
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            numbers, self._unwritten = self._unwritten, set()
            changes = {number: self._watched[number].fact for number in numbers if number in self._watched}
            self._writing = set(changes)
            try:
                stored = await self._write(changes)
                await self._directory.refresh()
            except Exception as error:
                events.fault("watch", error)
                self._unwritten |= numbers
                self._writing = set()
                await asyncio.sleep(RETRY)
                self._dirty.set()
                continue
            for number in stored:
                if watched := self._watched.get(number):
                    fact = changes[number]
                    before, watched.written = watched.written, fact
                    self.look_at(number)  # it may have changed again in the meantime
                    if (fact.state, fact.reason) != (before.state, before.reason):
                        events.health_changed(watched.appliance.name, str(before.state), str(fact.state), fact.reason)
            self._writing = set()

            # Robbed, as we shall hear; or our lease has just been renewed; or it can't be written.
            if refused := changes.keys() - set(stored):
                self._unwritten |= refused
                asyncio.get_running_loop().call_later(RETRY, self._dirty.set)

    async def _write(self, changes: Mapping[int, HealthFact]) -> list[int]:
        """All at once; where that fails, each by itself: what can't be written is in no other appliance's way.

        The appliances that are still ours, and so written. Raises DatabaseError where nothing can be written now.
        """
        try:
            return await self._db.change(self._store, changes)
        except (DatabaseAway, DatabaseBusy, DatabaseFull):
            raise
        except Exception as error:
            if len(changes) == 1:
                events.fault("watch", error)
                return []
        return [each for number, fact in changes.items() for each in await self._write({number: fact})]

    def _store(self, connection: Connection, changes: Mapping[int, HealthFact]) -> list[int]:
        """What is still ours."""
        held = [number for number in changes if self._holds(connection, number)]
        for number in held:
            facts.set_health(connection, number, changes[number])
        return held
