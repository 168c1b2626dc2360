"""Nodes that share a database look for each other before anything is called down."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from relay.appliances.facts import Health
from relay.appliances.pulse import Reach
from relay.cluster.nodes import blind_spots_of, nodes
from relay.cluster.observer import Timing
from relay.cluster.orders import drain
from relay.settings import Watch
from relay.watch.vantage import PATIENCE
from tests.integration.cluster.nodes import QUICK as LEASE
from tests.integration.cluster.nodes import running
from tests.integration.watch.watching import QUICK, Watching, primaries, watching
from tests.support.dns_stub import DnsStub
from tests.support.primary import ScriptedPrimary
from tests.support.waiting import eventually

LONG = Timing(dead_after=600.0, renew=0.2)
"""Nobody is given a share in the time of a test."""


def isolated(node: Watching) -> list[str]:
    """What each node says of its own network."""
    with node.db.read() as connection:
        return [row.isolated for row in nodes(connection)]


def blind(node: Watching) -> dict[int, dict[str, str]]:
    with node.db.read() as connection:
        return blind_spots_of(connection)


@asynccontextmanager
async def never(condition: Callable[[], bool]) -> AsyncIterator[None]:
    """Looked at all the while."""

    async def watch() -> None:
        while True:
            assert not condition()
            await asyncio.sleep(0.02)

    task = asyncio.create_task(watch())
    yield
    assert not task.done(), task.exception()
    task.cancel()


@asynccontextmanager
async def reached(folder: Path, name: str, host: str, **options: Any) -> AsyncIterator[Watching]:
    """A node for which mail.acme.example is ``host``: each has a way of its own to the primary."""
    async with (
        DnsStub({"mail.acme.example A": [host]}) as dns,
        watching(folder, name=name, resolver=dns.address, timing=LEASE, **options) as node,
    ):
        yield node


@asynccontextmanager
async def another_way(host: str, primary: ScriptedPrimary) -> AsyncIterator[ScriptedPrimary]:
    """To the same port, at another address."""
    way = ScriptedPrimary(host)
    await way.start(primary.port)
    try:
        yield way
    finally:
        await way.close()


async def test_what_another_node_reaches_is_not_down(tmp_path: Path) -> None:
    """The owner that can't reach it hands it over at once; everybody sees why, until its own way is mended."""
    async with ScriptedPrimary() as primary, reached(tmp_path, "one", "127.0.0.1") as one:
        acme = await one.add("acme", f"mail.acme.example:{primary.port}")
        await one.becomes(Health.UP, acme)
        async with another_way("127.0.0.2", primary) as way, reached(tmp_path, "two", "127.0.0.2") as two:
            await eventually(lambda: two.node.owns(acme.id))  # its share
            await two.reaches(Reach.YES, acme)
            async with never(lambda: one.written(acme).state is Health.DOWN):
                await way.stop()
                await eventually(lambda: one.node.owns(acme.id))
                ((node, said),) = blind(one)[acme.id].items()
                assert node == "two"
                assert "connection refused" in said.lower()
                await one.reaches(Reach.YES, acme)
                await asyncio.sleep(LEASE.dead_after)
                assert one.node.owns(acme.id), "it isn't given back to even things out"
                await way.start()
                await eventually(lambda: not blind(one))
            assert one.written(acme).state is Health.UP


async def test_what_nobody_reaches_is_down_and_it_is_not_us(tmp_path: Path) -> None:
    """Three that fail together cast doubt on a node that is alone; another that sees the same, and is known to be
    connected, dispels it."""
    async with ScriptedPrimary() as reference, watching(tmp_path, timing=LEASE) as one, primaries(3) as hosts:
        connected = Watch(**{**QUICK.model_dump(), "references": [reference.address]})
        all_of_them = [await one.add(f"appliance{number}", host) for number, host in enumerate(hosts)]
        await one.becomes(Health.UP, *all_of_them)
        async with watching(tmp_path, connected, name="two", timing=LEASE) as two:
            await eventually(lambda: one.node.others)
            for host in hosts:
                await host.stop()
            await one.becomes(Health.DOWN, *all_of_them)
            assert isolated(one) == ["", ""]
            assert blind(two) == {}


async def test_two_nodes_that_lose_the_network_together_vouch_for_nothing(tmp_path: Path) -> None:
    """On one machine they see the same, and that is no second opinion: nothing is called down."""
    async with watching(tmp_path, timing=LEASE) as one, primaries(3) as hosts:
        all_of_them = [await one.add(f"appliance{number}", host) for number, host in enumerate(hosts)]
        await one.becomes(Health.UP, *all_of_them)
        async with watching(tmp_path, name="two", timing=LONG):
            await eventually(lambda: one.node.others)
            async with never(lambda: Health.DOWN in {one.written(each).state for each in all_of_them}):
                for host in hosts:
                    await host.stop()
                await eventually(lambda: "3 of 3 primaries fail together" in isolated(one)[0])
                await asyncio.sleep(1.0)


async def test_a_node_that_does_not_answer_does_not_count(tmp_path: Path) -> None:
    """One that lives and doesn't look for others holds nothing up for longer than it has time to."""
    async with watching(tmp_path, timing=LEASE) as one, ScriptedPrimary() as primary:
        acme = await one.add("acme", primary)
        await one.becomes(Health.UP, acme)
        async with running(one.db.url, "hangs"):
            await eventually(lambda: one.node.others)
            with one.db.write() as connection:
                drain(connection, "hangs", 1.0)  # else it would be given its share
            await primary.stop()
            failed_at = time.monotonic()
            await one.becomes(Health.DOWN, acme)
            assert time.monotonic() - failed_at > PATIENCE / 2, "it was asked"
            with one.db.read() as connection:
                assert connection.exec_driver_sql("SELECT count(*) FROM looks").scalar() == 0
