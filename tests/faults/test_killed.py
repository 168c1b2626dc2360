"""kill -9 of a node while twenty connections bring it mail and its primary is down.

Promised: what got 250 is there after each start; what was in flight may be there twice, for its client sent it again;
and the node accepts within 5 s of its death, started again at once.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

from tests.faults.clients import Crowd
from tests.faults.engines import SQLITE, Engine
from tests.faults.result import Fault, Result
from tests.faults.site import Site, site

BETWEEN = (50, 600)
"""Letters accepted between one death and the next."""


async def killed(engine: Engine, runs: int, folder: Path) -> Result:
    """Kill it, start it, and let it take some mail, ``runs`` times."""
    async with site(folder, engine) as place:
        place.node.start()
        await place.node.ready()
        async with place.clients() as clients:
            recoveries = [await kill_and_start(place, clients) for _ in range(runs)]
        return await place.reckoning(runs, [clients], recoveries)


async def kill_and_start(place: Site, clients: Crowd) -> float:
    """Seconds from the death, in the middle of work, to the first letter that was begun and accepted after it."""
    await clients.until_accepted(random.randint(*BETWEEN))
    died = time.monotonic()
    await place.node.kill()
    back = clients.next_accepted()
    place.node.start()
    return await place.recovered(back, died)


KILLED = Fault("killed", "kill -9 under 20 connections", 50, killed, within=5.0)


async def test_a_killed_node_has_lost_nothing(tmp_path: Path) -> None:
    """Every letter that was answered 250 goes home, and only those in flight may do so twice."""
    result = await killed(SQLITE, 3, tmp_path)
    assert not result.broken
    assert len(result.recoveries) == 3


async def test_nor_has_one_on_a_server(postgresql: Engine, tmp_path: Path) -> None:
    """The same where the mail is on PostgreSQL: what was under way there ends with the node."""
    result = await killed(postgresql, 1, tmp_path)
    assert not result.broken
