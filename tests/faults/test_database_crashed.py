"""PostgreSQL is ended in immediate mode under load, as by a loss of power, and started again.

Two nodes share it; clients bring mail to both, and the drain hands it back meanwhile. Promised: clients hear 4xx and
nothing worse, the nodes stay and take mail again within 15 s of its return, and what is known of deliveries isn't
forgotten: only a letter whose commit was under way, and whose client was put off, may come twice.
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
from tests.faults.site import PATIENCE, Site, site
from tests.support.postgres import PostgresCluster, server
from tests.support.waiting import eventually

BETWEEN = (50, 600)
AWAY = (0.0, 4.0)
"""Seconds for which nobody is there."""


async def database_crashed(engine: Engine, runs: int, folder: Path) -> Result:
    """Crash it and start it so many times."""
    with server(parent=DISK) as cluster:
        url = cluster.fresh()
        async with site(folder, Engine(engine.name, engine.title, lambda _: nullcontext(url))) as place:
            return await _crash(place, cluster, runs, folder)


async def _crash(place: Site, cluster: PostgresCluster, runs: int, folder: Path) -> Result:
    place.add(Node(folder / "other", place.database, name="two"))
    await place.primary.start()
    for node in place.nodes:
        node.start()
        await node.ready()
    await place.until(health="up")
    recoveries = []
    async with place.clients() as clients:
        for _ in range(runs):
            recoveries.append(await _crash_once(place, clients, cluster))
    wrong = [f"node {node.name} has ended" for node in place.nodes if not node.runs]
    return await place.reckoning(runs, [clients], recoveries, unsure=True, wrong=[*wrong, *cut_off(clients)])


async def _crash_once(place: Site, clients: Crowd, cluster: PostgresCluster) -> float:
    """Seconds from its return to the first letter that is begun and accepted after it."""
    await clients.until_accepted(random.randint(*BETWEEN))
    await asyncio.to_thread(cluster.stop, "immediate")
    await asyncio.sleep(random.uniform(*AWAY))
    await asyncio.to_thread(cluster.start)
    again = time.monotonic()
    return await place.recovered(clients.next_accepted(), again)


def cut_off(clients: Crowd) -> list[str]:
    """Connections that a node has ended without a word, though nobody ended the node."""
    return [f"{count} × cut off at {where}" for where, count in clients.cuts.items()]


DATABASE_CRASHED = Fault(
    "crashed",
    "PostgreSQL restarted in immediate mode, two nodes, draining",
    20,
    database_crashed,
    within=15.0,
    engines=("postgresql",),
)


async def test_a_crash_of_the_database_loses_nothing(tmp_path: Path) -> None:
    """Clients are put off and nothing else, and nothing that was accepted or handed back is forgotten."""
    result = await database_crashed(POSTGRESQL, 1, tmp_path)
    assert not result.broken


async def test_a_crash_in_the_middle_of_a_drain_brings_nothing_twice(tmp_path: Path) -> None:
    """What is on its way to the primary gets its answer though what follows can't be read, and that is kept."""
    with server(parent=DISK) as cluster:
        url = cluster.fresh()
        async with site(tmp_path, Engine("postgresql", "PostgreSQL", lambda _: nullcontext(url))) as place:
            place.node.start()
            await place.node.ready()
            async with place.clients() as clients:
                await clients.until_accepted(150)
            place.primary.pace = 0.3
            await place.primary.start()
            await eventually(lambda: len(place.primary.received) > 20, timeout=PATIENCE)
            await asyncio.to_thread(cluster.stop, "immediate")
            seen = -1
            while seen < (seen := len(place.primary.received)):  # until all that could be read is there
                await asyncio.sleep(2 * place.primary.pace)
            await asyncio.to_thread(cluster.start)
            result = await place.reckoning(1, [clients])
        assert not result.broken
        assert result.doubled == 0
