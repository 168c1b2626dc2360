"""The server of the database is killed under load, and the standby that follows it is promoted.

Two nodes know both hosts; the standby is synchronous, and made anew from the one that is left after each promotion. The
way to the standby hangs for a moment before the death, as a network does that is about to fail. Promised: what got 250
is at the promoted one, clients hear 4xx and nothing worse, and mail is taken again seconds later. The control is the
same without synchronous_standby_names: it has to lose mail, or this proves nothing.
"""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import nullcontext
from pathlib import Path

from tests.faults.clients import Crowd
from tests.faults.engines import DISK, POSTGRESQL, Engine
from tests.faults.node import Node
from tests.faults.result import Fault, Result
from tests.faults.site import Site, site
from tests.faults.test_database_crashed import cut_off
from tests.support.replication import Pair, pair

BETWEEN = (50, 600)
HANGS = 0.3
"""Seconds for which nothing reaches the standby any more."""


async def promoted(engine: Engine, runs: int, folder: Path) -> Result:
    """Promote it so many times; then see an asynchronous one lose."""
    result = await promote(engine, runs, folder / "synchronous")
    control = await promote(engine, 1, folder / "control", synchronous=False)
    lost = () if control.lost else ("the control without synchronous_standby_names has lost nothing",)
    return result.with_wrong(lost)


async def promote(engine: Engine, runs: int, folder: Path, *, synchronous: bool = True) -> Result:
    """``synchronous``: as the guarantee needs it."""
    with pair(parent=DISK, synchronous=synchronous) as two:
        url = two.fresh()
        async with site(folder, Engine(engine.name, engine.title, lambda _: nullcontext(url))) as place:
            place.add(Node(folder / "other", place.database, name="two"))
            for node in place.nodes:
                node.start()
                await node.ready()
            recoveries = []
            async with place.clients() as clients:
                for run in range(runs):
                    if run:
                        await asyncio.to_thread(two.rebuild)
                    recoveries.append(await _promote_once(place, clients, two))
            wrong = [f"node {node.name} has ended" for node in place.nodes if not node.runs]
            return await place.reckoning(runs, [clients], recoveries, unsure=True, wrong=[*wrong, *cut_off(clients)])


async def _promote_once(place: Site, clients: Crowd, two: Pair) -> float:
    """Seconds from the death to the first letter that is begun and accepted after it."""
    await clients.until_accepted(random.randint(*BETWEEN))
    await asyncio.to_thread(two.stall)
    await asyncio.sleep(HANGS)
    died = time.monotonic()
    back = clients.next_accepted()
    await asyncio.to_thread(two.fail_over)
    return await place.recovered(back, died)


PROMOTED = Fault(
    "promoted",
    "PostgreSQL killed, its synchronous standby promoted, two nodes",
    10,
    promoted,
    within=15.0,
    engines=("postgresql",),
)


async def test_a_promotion_of_a_synchronous_standby_loses_nothing(tmp_path: Path) -> None:
    """All that was answered 250 is at the one that is promoted."""
    result = await promote(POSTGRESQL, 1, tmp_path)
    assert not result.broken


async def test_a_promotion_of_an_asynchronous_one_is_found_out(tmp_path: Path) -> None:
    """What hadn't reached it yet is lost though it got 250, and the reckoning says so."""
    result = await promote(POSTGRESQL, 1, tmp_path, synchronous=False)
    assert result.lost > 0
