"""A node that doesn't own the appliance answers RCPT as its owner would: senders don't know who that is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from relay.appliances.facts import Health
from relay.cluster.observer import Timing
from relay.recipients.learned import FRESH_ONCE
from tests.integration.recipients.school import DOMAIN, School
from tests.support.clock import StagedClock
from tests.support.database import database_url
from tests.support.node import Node, running
from tests.support.primary import ScriptedPrimary
from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("engine")

TAKEN, NO, UP = "250 2.1.5", "550 5.1.1", "451 4.3.2"
LONG = Timing(renew=0.2, dead_after=600.0)
"""Whoever owns something keeps it."""


@asynccontextmanager
async def node(folder: Path, name: str, clock: StagedClock) -> AsyncIterator[Node]:
    own = folder / name
    own.mkdir()
    settings = {"node": {"name": name, "database": database_url(folder)}}
    async with running(own, clock=clock, settings=settings, timing=LONG) as found:
        yield found


@asynccontextmanager
async def other(folder: Path, *options: str) -> AsyncIterator[tuple[School, School]]:
    """The owner of acme.example, and another node; ``options``: of the domain."""
    clock = StagedClock.at("2026-11-28 20:00")
    async with ScriptedPrimary() as primary, node(folder, "owner", clock) as first:
        owner = School(first, primary, clock)  # from now on the primary knows who exists
        await first.relayctl("domain", "add", DOMAIN, "--primary", primary.address, "--skip-proof", "dns", *options)
        await first.until(DOMAIN, health="up")
        async with node(folder, "other", clock) as second:
            await eventually(lambda: second.app.node.others)
            yield owner, School(second, primary, clock)
            assert [one.app.node.owns(1) for one in (first, second)] == [True, False]


def knows_it_is_up(it: School) -> bool:
    app = it.node.app
    return app.directory.health(1).state is Health.UP and app.pulse.proven(1, app.clock.monotonic())


async def tells(one: School, replies: list[str], *names: str) -> None:
    """Until the node says so of these; after a leap of the clock it has to hear first that the primary is still up."""

    async def told() -> bool:
        return await one.rcpt_all(*names) == replies

    await eventually(told)


async def says(reply: str, *schools: School) -> None:
    """Until each of the nodes says so of ann."""
    for one in schools:
        await tells(one, [reply], "ann")


def knows(it: School, *names: str) -> bool:
    memory = it.node.app.learning._memories.of(it.node.app.directory.snapshot.domains[DOMAIN])
    return all(map(memory.get, names))


async def down(*schools: School) -> None:
    """Until each of the nodes knows."""
    for one in schools:
        await one.down()
        await eventually(lambda one=one: one.node.app.directory.health(1).state is Health.DOWN)  # type: ignore[misc]


async def test_mail_is_put_off_by_whoever_gets_it_while_the_primary_is_up(tmp_path: Path) -> None:
    """451 4.3.2 while it is proven up, taken while it is down, and put off again when it is back."""
    async with other(tmp_path, "--when-up", "defer") as (owner, it):
        await says(UP, owner, it)
        await down(owner, it)
        assert await it.rcpt("ann") == await owner.rcpt("ann") == TAKEN
        await it.primary.start()
        await says(UP, owner, it)


async def test_whoever_is_asked_asks_the_primary(tmp_path: Path) -> None:
    """While it is up; what either node has learned both know in the outage, and for all others the rule decides."""
    async with other(tmp_path, "--recipients", "learned", "--never-seen", "reject") as (owner, it):
        await eventually(lambda: knows_it_is_up(it))
        it.settle()
        await tells(it, [TAKEN, NO], "ann", "nobody")
        assert (it.asked("ann"), it.asked("nobody")) == (1, 1)
        await owner.until_known("ann", "nobody")
        await tells(owner, [TAKEN], "bob")
        await it.until_known("bob")
        it.clock.leap(FRESH_ONCE + 1)
        await tells(it, [NO], "nobody")
        await down(owner, it)
        for one in (it, owner):
            # What the other has learned comes within seconds.
            await eventually(lambda one=one: knows(one, "ann", "bob"), timeout=30)  # type: ignore[misc]
            assert await one.rcpt_all("ann", "bob", "stranger") == [TAKEN, TAKEN, NO]
        assert await it.rcpt("nobody") == NO
