"""Memory under steady traffic, taken and handed back: after the first minutes it stays where it is.

Two hundred letters a second are a large customer's day in an hour. A sixth of the time is the warm-up; from then on the
resident size may differ from what it was at its end by a tenth at the most. It is the node's, also where its mail is on
a server. The whole day, whose warm-up is ten minutes: python -m tests.faults --only memory --runs 60
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from tests.faults.engines import SQLITE, Engine
from tests.faults.result import Fault, Result
from tests.faults.site import site
from tests.support.memory import resident

RATE = 200.0
MB = 1_000_000
TOLERANCE = 0.10


async def steady(engine: Engine, runs: int, folder: Path, *, minute: float = 60.0, within: float = TOLERANCE) -> Result:
    """So many minutes; ``minute``: how many seconds one of them has."""
    async with site(folder, engine) as place:
        await place.primary.start()
        place.node.start()
        await place.node.ready()
        await place.until(health="up")
        async with place.clients(rate=RATE) as clients:
            await asyncio.sleep(runs * minute / 6)
            warm = resident(place.node.pid)
            sizes = await _sizes(place.node.pid, runs * minute * 5 / 6)
        least, most = min(sizes), max(sizes)
        told = f"{warm / MB:.0f} MB after the warm-up, then {least / MB:.0f} to {most / MB:.0f} MB"
        flat = most <= warm * (1 + within) and least >= warm * (1 - within)
        result = await place.reckoning(runs, [clients], wrong=[] if flat else [told])
        return result.noted(told)


async def _sizes(pid: int, seconds: float) -> list[int]:
    """The resident size, a hundred times over so many seconds."""
    end, sizes = time.monotonic() + seconds, []
    while time.monotonic() < end:
        sizes.append(resident(pid))
        await asyncio.sleep(seconds / 100)
    return sizes


MEMORY = Fault("memory", "steady traffic, 200 a second (times: minutes)", 12, steady)


async def test_memory_does_not_grow_with_traffic(tmp_path: Path) -> None:
    """What is taken and handed back leaves nothing behind; so soon after the start some growth is ordinary."""
    result = await steady(SQLITE, 6, tmp_path, minute=2.0, within=0.25)
    assert not result.broken


async def test_nor_does_it_on_a_server(postgresql: Engine, tmp_path: Path) -> None:
    """The same where content goes by connections to PostgreSQL, with buffers of their own."""
    result = await steady(postgresql, 6, tmp_path, minute=2.0, within=0.25)
    assert not result.broken
