"""SIGTERM while twenty connections bring mail and the drain hands it back: nobody sees anything but order.

A client gets its 250, or 421, or is let in no more; what is on its way to the primary is finished, so that nothing is
there twice; and the process has ended, with exit 0, within 30 s.
"""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

from tests.faults.clients import Crowd
from tests.faults.engines import SQLITE, Engine
from tests.faults.result import Fault, Result
from tests.faults.site import site

BETWEEN = (50, 600)


async def stopped(engine: Engine, runs: int, folder: Path) -> Result:
    """Stop it, start it, and let it take some mail, ``runs`` times."""
    ends, wrong = [], list[str]()
    async with site(folder, engine) as place:
        node = place.node
        await place.primary.start()
        node.start()
        await node.ready()
        await place.until(health="up")
        async with place.clients() as clients:
            for _ in range(runs):
                await clients.until_accepted(random.randint(*BETWEEN))
                told = time.monotonic()
                node.signal(signal.SIGTERM)
                if code := await node.ended():
                    wrong.append(f"exit {code}")
                ends.append(time.monotonic() - told)
                back = clients.next_accepted()
                node.start()
                await place.recovered(back, told)
        return await place.reckoning(runs, [clients], ends, wrong=[*wrong, *_disorder(clients)])


def _disorder(clients: Crowd) -> list[str]:
    """What a client saw that isn't 250, 421, or the end of a connection that wasn't let in yet."""
    cut = [f"{count} × cut off at {place}" for place, count in clients.cuts.items() if place != "connecting"]
    return [*cut, *(f"{count} × {code}" for code, count in clients.replies.items() if code != 421)]


STOPPED = Fault("stopped", "SIGTERM under 20 connections, draining", 50, stopped, within=30.0, recovery="ends")


async def test_a_stopped_node_ends_in_order(tmp_path: Path) -> None:
    """Nothing is lost or doubled, and each client gets its 250 or a 421."""
    result = await stopped(SQLITE, 3, tmp_path)
    assert not result.broken
    assert result.doubled == 0
