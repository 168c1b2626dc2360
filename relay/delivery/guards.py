"""The guards of all appliances that this node works for, and what returns need when nobody drains: their end.

What another node works for now it will have changed before we do again: nothing of it is remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from relay.delivery import drains
from relay.delivery.guard import Guard
from relay.delivery.means import Means


class Guards:
    """One for each node. ``name``: of an appliance."""

    def __init__(self, means: Means, name: Callable[[int], str]) -> None:
        self._means = means
        self._name = name
        self._guards: dict[int, Guard] = {}

    def of(self, appliance_id: int) -> Guard:
        guard = self._guards.get(appliance_id)
        if guard is None:
            means = self._means
            guard = Guard(appliance_id, self._name(appliance_id), means.db, means.queue, means.clock)
            self._guards[appliance_id] = guard
        return guard

    async def look_after_returns(self, now: float, draining: Collection[int]) -> list[int]:
        """Close the windows that have passed; the appliances whose breaker has tripped while no drain is there to ask
        whether it may go on. ``draining``: those that have one."""
        for appliance_id in [each for each in self._guards if not self._means.owns(each)]:
            if appliance_id not in draining:
                del self._guards[appliance_id]
        unasked = []
        for appliance_id, state in (await self._means.db.run(drains.all_drains)).items():
            if not self._means.owns(appliance_id):
                continue
            if state.trip is None and now >= state.window_until:
                await self.of(appliance_id).close_window(now)
            elif state.trip is not None and appliance_id not in draining:
                unasked.append(appliance_id)
        return unasked
