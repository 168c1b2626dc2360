"""How much of what was queued at the return has not been tried: counted beside the loop, told in the ticket.

An outage is drained when the count is nought. What is deferred, held, or came after the return doesn't count.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from relay import events, settings
from relay.appliances.progress import going_on
from relay.clock import Clock
from relay.continuity.background import Background
from relay.continuity.carry import tell
from relay.continuity.case import NOW, Case
from relay.continuity.progress import Told, progress
from relay.db import Database
from relay.queue.queue import Queue

TOGETHER = 2
AT_MOST_EVERY = 0.5
SHARE = 20
"""A count that takes a second is made again after so many: a million rows must not be counted twice a second."""
SELDOM = 15.0
"""Seconds between two counts at most, however busy the machine: the ticket waits for the last one."""
RETRY = 5.0


class Handback:
    """One for each node."""

    def __init__(
        self, rules: settings.Continuity, db: Database, queue: Queue, clock: Clock, background: Background
    ) -> None:
        self._rules = rules
        self._db = db
        self._queue = queue
        self._clock = clock
        self._background = background
        self._turn = asyncio.Semaphore(TOGETHER)

    def reconfigure(self, rules: settings.Continuity) -> None:
        self._rules = rules

    def count_due(self, cases: Iterable[Case], now: float) -> None:
        """Begin the counts that are due; nobody waits for them."""
        for case in cases:
            returned_at = case.returned_at(self._rules, now)
            if returned_at is not None and not case.counting and self._clock.monotonic() >= case.count_at:
                case.counting = True
                self._background.start(self._count(case, returned_at))

    async def tell_progress(self, cases: Iterable[Case], now: float) -> None:
        """Say in the ticket how far it has come, now and then."""
        for case in cases:
            returned_at = case.returned_at(self._rules, now)
            if returned_at is None or case.outage is None or case.continuity.priority is None:
                case.told = None
            elif case.untried is None or case.mark is None or case.mark[0] != returned_at:
                continue  # not counted yet
            elif case.told is None:
                case.told = Told(now, case.untried, case.untried)
            elif (news := progress(case.told, case.untried, now)) is not None:
                case.told, text = news
                drain = (await self._db.run(going_on)).get(case.appliance.id)
                pace = f" Now {drain.told(case.untried)}." if drain is not None and drain.fresh(now) else ""
                await self._db.change(tell, case.appliance.id, text + pace, now)

    async def _count(self, case: Case, returned_at: float) -> None:
        number = case.appliance.id
        try:
            async with self._turn:
                began = self._clock.monotonic()
                if case.mark is None or case.mark[0] != returned_at:
                    case.mark, case.untried = (returned_at, await self._queue.last_number()), None
                untried = 0
                if self._queue.depth(number).queued:
                    untried = await self._queue.untried_since(number, *case.mark)
                took = self._clock.monotonic() - began
            if untried != case.untried:
                case.untried, case.next_at = untried, NOW
            case.count_at = self._clock.monotonic() + min(max(AT_MOST_EVERY, SHARE * took), SELDOM)
        except Exception as error:
            events.fault("continuity", error)
            case.count_at = self._clock.monotonic() + RETRY
        finally:
            case.counting = False
