"""Judges senders soon after receipt, while their domains still say what they said then: of mail that waits because its
primary is down, oldest first, at the lowest priority.

Promises: two messages a second at most, one at a time, however many wait; none while the DNS gives no answers. What it
hasn't reached is judged when the report is due, so nothing rests on it but the freshness of the evidence.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from relay import events
from relay.delivery.reports.decide import needs_vouching
from relay.delivery.reports.opinions import Opinions
from relay.delivery.reports.vouch import Verdict
from relay.errors import NotFound
from relay.mail import domain_of
from relay.queue.cases import Case
from relay.queue.queue import Queue

PACE = 0.5
"""Seconds between two messages, which take about a millisecond of CPU each."""
IDLE = 5.0
"""Seconds between two looks for mail to judge where there was none."""
PAGE = 500
"""Recipients that are looked at with one query, and so many queries without a rest."""
QUERIES = 5
SILENT = 5
"""So many senders' domains in a row of which the DNS says nothing: it is gone."""
PAUSES = (60.0, 120.0, 300.0, 600.0)
"""Seconds until it is tried again; the last one from then on."""


class Ahead:
    """``waiting``: the appliances of this node that are out of reach and have mail."""

    def __init__(self, queue: Queue, opinions: Opinions, waiting: Callable[[], Iterable[int]]) -> None:
        self._queue = queue
        self._opinions = opinions
        self._waiting = waiting
        self._read_to: dict[int, int] = {}  # the last number that was read, by appliance
        self._cases: deque[Case] = deque()
        self._silent: set[str] = set()
        self._pauses = 0

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                pause = await self._step()
            except Exception as error:
                events.fault("reports", error)
                pause = IDLE
            await asyncio.sleep(pause)

    async def _step(self) -> float:
        """Judge one message; the seconds to the next step."""
        if not self._cases:
            return PACE if await self._read() else IDLE
        case = self._cases.popleft()
        try:
            vouching = await self._opinions.of(case)
        except NotFound:
            return PACE  # it has left meanwhile
        if vouching.verdict is not Verdict.UNKNOWN:
            self._silent.clear()
            self._pauses = 0
            return PACE
        # Not noted: a sender whose DNS is silent is asked about again when a report is due.
        self._silent.add(domain_of(case.sender))
        if len(self._silent) < SILENT:
            return PACE
        self._silent.clear()
        self._pauses += 1
        return PAUSES[min(self._pauses, len(PAUSES)) - 1]

    async def _read(self) -> bool:
        """Read on where something is unread, the appliance first of which least was read; False where nothing is."""
        newest = await self._queue.last_number()
        waiting = set(self._waiting())
        self._read_to = {number: last for number, last in self._read_to.items() if number in waiting}
        unread = [number for number in waiting if self._read_to.get(number, 0) < newest]
        for number in sorted(unread, key=lambda each: self._read_to.get(each, 0))[:QUERIES]:
            after = self._read_to.get(number, 0)
            cases, last = await self._queue.failures.unjudged(number, after=after, limit=PAGE)
            self._read_to[number] = newest if last is None else last
            self._cases.extend(case for case in cases if needs_vouching(case))
            if self._cases:
                break
        return bool(unread)
