"""Appliances are spread evenly over the nodes that live, and handed over in good order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from relay.cluster.lease import OUTBOX, POSTMASTER
from relay.cluster.orders import drain, resume
from relay.db import Database
from tests.integration.cluster.nodes import QUICK, Running, add_appliances, running
from tests.integration.cluster.test_ownership import _victim
from tests.support.database import make_database
from tests.support.waiting import eventually

EVERYTHING = (POSTMASTER, OUTBOX)


@asynccontextmanager
async def cluster(db: Database, *names: str) -> AsyncIterator[list[Running]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(running(db.url, name)) for name in names]


def shares(nodes: Sequence[Running], numbers: Sequence[int]) -> list[int]:
    """How many of these each owns; nothing may be owned twice."""
    owned = [node.owned(list(numbers)) for node in nodes]
    assert sum(map(len, owned)) == len(set().union(*owned)), "two nodes own one appliance"
    return [len(one) for one in owned]


async def test_a_node_that_joins_gets_its_share(tmp_path: Path) -> None:
    """Even to within one, each appliance with one owner at any moment, and nothing is moved after that."""
    db = make_database(tmp_path)
    numbers = [*add_appliances(db, 40), *EVERYTHING]
    async with cluster(db, "one", "two") as nodes:
        assert shares(nodes, numbers) == [42, 0]
        await eventually(lambda: shares(nodes, numbers) == [21, 21])
        async with running(db.url, "three") as three:
            nodes = [*nodes, three]
            await eventually(lambda: shares(nodes, numbers) == [14, 14, 14])
            before = [node.owned(numbers) for node in nodes]
            await asyncio.sleep(3 * QUICK.renew)
            assert [node.owned(numbers) for node in nodes] == before
    db.close()


async def test_a_clean_stop_leaves_nothing_without_an_owner(tmp_path: Path) -> None:
    """What the node owned is spread over the others as soon as it has stopped, long before anybody is dead."""
    db = make_database(tmp_path)
    numbers = [*add_appliances(db, 40), *EVERYTHING]
    async with cluster(db, "two", "three") as nodes, running(db.url, "one") as one:
        everybody = [*nodes, one]
        await eventually(lambda: shares(everybody, numbers) == [14, 14, 14])
        await one.node.close()
        stopped_at = time.monotonic()
        await eventually(lambda: shares(nodes, numbers) == [21, 21])
        assert time.monotonic() - stopped_at < QUICK.dead_after
    db.close()


async def test_a_dead_nodes_appliances_are_spread_too(tmp_path: Path) -> None:
    """kill -9: those who are left share what it owned."""
    db = make_database(tmp_path)
    numbers = [*add_appliances(db, 20), *EVERYTHING]
    with _victim(db, tmp_path / "victim") as victim:
        assert victim.stdout is not None
        try:
            assert await asyncio.to_thread(victim.stdout.readline) == "owns 20\n"
            async with cluster(db, "one", "two") as nodes:
                victim.kill()
                await eventually(lambda: shares(nodes, numbers) == [11, 11])
        finally:
            victim.kill()
    db.close()


async def test_what_is_under_way_is_finished_first(tmp_path: Path) -> None:
    """From the decision on nothing is begun for it; it gets its new owner only once it is at rest."""
    db = make_database(tmp_path)
    (number,) = add_appliances(db, 1)
    async with cluster(db, "one", "two") as (one, two):
        await eventually(lambda: one.node.others)
        one.busy.add(number)
        assert one.node.give(number, ["two", "nobody"]) == "two"
        assert not one.node.owns(number)
        await asyncio.sleep(4 * QUICK.renew)
        with db.write() as connection:
            assert one.node.holds(connection, number), "an outcome that is decided meanwhile is still its own"
        assert not two.node.owns(number)
        one.busy.clear()
        await eventually(lambda: two.node.owns(number))
        with db.write() as connection:
            assert not one.node.holds(connection, number)
            assert two.node.holds(connection, number)
    db.close()


async def test_who_was_to_have_it_dies(tmp_path: Path) -> None:
    """Then it stays where it is, and is worked for again."""
    db = make_database(tmp_path)
    numbers = add_appliances(db, 1)
    async with cluster(db, "one", "two") as (one, two):
        await eventually(lambda: one.node.others)
        one.busy.update(numbers)
        assert one.node.give(numbers[0], ["two"]) == "two"
        await two.node.close()
        await eventually(lambda: one.owned(numbers) == set(numbers))
        one.busy.clear()
    db.close()


async def test_a_node_that_drains_gives_everything_away(tmp_path: Path) -> None:
    """Asked by an operator it owns nothing, also after a restart, until it is told to resume."""
    db = make_database(tmp_path)
    numbers = [*add_appliances(db, 20), *EVERYTHING]
    async with running(db.url, "two") as two:
        async with running(db.url, "one") as one:
            await eventually(lambda: shares([one, two], numbers) == [11, 11])
            with db.write() as connection:
                drain(connection, "one", 1.0)
            await eventually(lambda: shares([one, two], numbers) == [0, 22])
            assert one.node.gives_way
            assert not two.node.gives_way
        async with running(db.url, "one") as one:
            await asyncio.sleep(QUICK.dead_after + 2 * QUICK.renew)
            assert shares([one, two], numbers) == [0, 22]
            with db.write() as connection:
                resume(connection, "one")
            await eventually(lambda: shares([one, two], numbers) == [11, 11])
            assert not one.node.gives_way
    db.close()


async def test_a_node_that_drains_goes_on_where_nobody_else_is_left(tmp_path: Path) -> None:
    """Better than no owner at all: it takes the mail, and what the last other node owned."""
    db = make_database(tmp_path)
    numbers = [*add_appliances(db, 4), *EVERYTHING]
    async with running(db.url, "one") as one:
        async with running(db.url, "two") as two:
            with db.write() as connection:
                drain(connection, "one", 1.0)
            await eventually(lambda: shares([one, two], numbers) == [0, 6])
        await eventually(lambda: shares([one], numbers) == [6])
        await eventually(lambda: not one.node.gives_way)
    db.close()
