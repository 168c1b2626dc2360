"""kill -9 of a node in the middle of a drain: it goes on where it was, and doubles only what was on its way.

In flight is what the primary had taken from this node and the node hadn't recorded when it died, looked up at each
death: what the primary has seen since the start, and the node still has in its queue.
"""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections import Counter
from pathlib import Path

from tests.faults.engines import SQLITE, Engine
from tests.faults.result import Fault, Result
from tests.faults.site import PATIENCE, Site, site

BETWEEN = (50, 400)
"""Letters at the primary between one death and the next."""
PACE = 0.005
"""Seconds that the primary takes for a letter: without it a drain is over before it can be cut off."""


async def killed_draining(engine: Engine, runs: int, folder: Path) -> Result:
    """Queue enough for all deaths while the primary is down, then cut drain after drain off."""
    resumed, in_flight = [], Counter[int]()
    async with site(folder, engine) as place:
        node = place.node
        node.start()
        await node.ready()
        async with place.clients() as clients:
            await clients.until_accepted((runs + 1) * BETWEEN[1], within=600)
        place.primary.pace = PACE
        await place.primary.start()
        await _letters(place, 1)
        for _ in range(runs):
            await _die_draining(place, random.randint(*BETWEEN))
            in_flight.update(place.primary.since & await place.queued())
            place.primary.since.clear()
            begun = time.monotonic()
            node.start()
            await _letters(place, 1)
            resumed.append(time.monotonic() - begun)
        return await place.reckoning(runs, [clients], resumed, in_flight=in_flight)


async def _letters(place: Site, more: int) -> None:
    """Wait until the primary has been brought so many more, old ones or new."""
    wanted, reached = place.primary.received.total() + more, asyncio.Event()

    def one() -> None:
        if place.primary.received.total() >= wanted:
            reached.set()

    place.primary.on_letter = one
    async with asyncio.timeout(PATIENCE):
        await reached.wait()


async def _die_draining(place: Site, more: int) -> None:
    """Kill the node the moment the primary has so many more, before it has answered the last one."""
    wanted = place.primary.received.total() + more

    def one() -> None:
        if place.primary.received.total() == wanted:
            place.node.signal(signal.SIGKILL)

    place.primary.on_letter = one
    await place.node.ended()
    while place.primary.sessions:  # what lies in its sockets still counts
        await asyncio.sleep(0.01)


DRAINING = Fault("draining", "kill -9 in the middle of a drain", 50, killed_draining, recovery="drains again")


async def test_a_node_killed_in_a_drain_loses_nothing(tmp_path: Path) -> None:
    """All goes home in the end, and at most what was in flight at a death does so twice."""
    result = await killed_draining(SQLITE, 3, tmp_path)
    assert not result.broken
    assert result.in_flight > 0
