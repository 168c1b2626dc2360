"""relayctl node: who runs, and taking nodes out and in again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from relay import log
from relay.cluster import lease
from relay.cluster.lease import OUTBOX, POSTMASTER
from relay.cluster.nodes import owner_names
from relay.cluster.observer import Observer, Timing
from relay.db import Database
from tests.integration.cli.conftest import Mail
from tests.integration.cli.console import Relayctl
from tests.integration.cluster.nodes import add_appliances, running
from tests.support.database import database_url
from tests.support.waiting import eventually


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """What nodes in this process log isn't what relayctl prints."""
    before = structlog.get_config()
    log.silence()
    yield
    structlog.configure(**before)


def url(relayctl: Relayctl) -> str:
    return database_url(relayctl.folder)


async def told(relayctl: Relayctl, *argv: str) -> Any:
    """Beside nodes that run in this process."""
    return await asyncio.to_thread(relayctl.json, *argv)


async def refused(relayctl: Relayctl, *argv: str) -> str:
    return await asyncio.to_thread(relayctl.refuses, *argv)


def add(relayctl: Relayctl, count: int) -> list[int]:
    db = Database(url(relayctl))
    numbers = add_appliances(db, count)
    db.close()
    return numbers


def sums(relayctl: Relayctl) -> Any:
    """What was counted, over all nodes: for good, and what is here now."""
    status = relayctl.json("status")["domains"]
    return relayctl.json("ledger"), [(row["domain"], row["queued"], row["held"]) for row in status]


async def test_a_node_is_drained_stopped_and_removed(relayctl: Relayctl) -> None:
    """drain returns when the node is safe to stop; it stays drained until it is told to resume; removed, it is gone."""
    numbers = [*add(relayctl, 6), OUTBOX, POSTMASTER]
    async with running(url(relayctl), "one") as one, running(url(relayctl), "two") as two:
        await eventually(lambda: len(two.owned(numbers)) == 4)  # one lets go before that is written
        rows = {row["name"]: row for row in await told(relayctl, "node", "list")}
        assert {name: (row["state"], row["appliances"]) for name, row in rows.items()} == {
            "one": ("live", 2),
            "two": ("live", 4),
        }
        assert (rows["one"]["duties"], rows["two"]["duties"]) == (["outbox", "postmaster"], [])
        assert rows["one"]["heartbeat_seconds"] < 10
        assert (rows["one"]["isolated"], rows["one"]["drain_asked_at"]) == (None, None)

        done = await told(relayctl, "node", "drain", "one")
        assert done == {"name": "one", "state": "drained", "appliances": 0, "duties": []}
        assert (one.owned(numbers), two.owned(numbers)) == (set(), set(numbers))
        assert "is live" in await refused(relayctl, "node", "remove", "one")
        assert await told(relayctl, "node", "resume", "one") == {"name": "one", "changed": True}
        assert await told(relayctl, "node", "resume", "one") == {"name": "one", "changed": False}
        await eventually(lambda: len(one.owned(numbers)) == 4)
        await told(relayctl, "node", "drain", "one", "--no-wait")
        await one.node.close()
        assert (await told(relayctl, "node", "drain", "one"))["state"] == "stopped"
        assert await told(relayctl, "node", "remove", "one") == {"name": "one"}
        assert [row["name"] for row in await told(relayctl, "node", "list")] == ["two"]
        await eventually(lambda: two.owned(numbers) == set(numbers))


async def test_the_last_node_is_not_drained(relayctl: Relayctl) -> None:
    """Nobody would take its place, and that is said instead of waiting."""
    async with running(url(relayctl), "one"):
        text = await refused(relayctl, "node", "drain", "one")
        assert "no other node is live: nobody would take the place of one" in text
        (row,) = await told(relayctl, "node", "list")
        assert (row["state"], row["drain_asked_at"]) == ("live", None)
        assert await refused(relayctl, "node", "drain", "on") == "no node is named on; there are one"


async def test_a_dead_node_is_removed_and_one_that_only_hangs_is_not(relayctl: Relayctl, mail: Mail) -> None:
    """It is watched for as long as it takes to be dead. What it owned is free, and what it counted stays counted."""
    before = sums(relayctl)
    db = Database(url(relayctl))
    with db.write() as connection:
        for name in ("n1", "hangs"):
            lease.register(connection, name, name, 1.0, hostname="x", version="1", listeners=[], drift=0.0, isolated="")
        claim = lease.claim(connection, "n1", Observer(Timing()), 0.0)
        assert claim.owned
    removing = [
        asyncio.create_task(asyncio.to_thread(relayctl.process, "node", "remove", name)) for name in ("n1", "hangs")
    ]
    while not all(task.done() for task in removing):
        with db.write() as connection:
            assert lease.renew(connection, "hangs", "hangs", 2.0)
        await asyncio.sleep(1.0)
    removed, left = await asyncio.gather(*removing)
    assert (removed.returncode, left.returncode) == (0, 1)
    assert "node hangs is alive" in left.stderr
    assert [row["name"] for row in relayctl.json("node", "list")] == ["hangs"]
    assert sums(relayctl) == before
    assert relayctl.json("db", "check") == {"ok": True, "faults": []}
    with db.read() as connection:
        assert "n1" not in owner_names(connection).values()
    db.close()
