"""Whoever changes something wakes those who work for it, in this process and in others."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from relay.appliances import wakes
from relay.appliances.wakes import latest, since
from tests.integration.cluster.nodes import add_appliances, running
from tests.support.database import make_database
from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("engine")

SOON = 20.0


async def test_a_wake_is_not_lost_on_who_was_busy(tmp_path: Path) -> None:
    """notify before wait: wait returns at once, and then only for the next one."""
    db = make_database(tmp_path)
    async with running(db.url, "one") as one:
        one.wake.notify([1, 2, 1])
        await asyncio.wait_for(one.wake.wait(1), SOON)
        await asyncio.wait_for(one.wake.wait(2), SOON)
        waiting = asyncio.create_task(one.wake.wait(1))
        await asyncio.sleep(0)
        assert not waiting.done()
        one.wake.notify([1])
        await asyncio.wait_for(waiting, SOON)
    db.close()


async def test_an_operator_wakes_the_node(tmp_path: Path) -> None:
    """A mark that another process commits wakes its appliance, each time, and no other."""
    db = make_database(tmp_path)
    async with running(db.url, "one") as one:
        marked, other = (asyncio.create_task(one.wake.wait(number)) for number in (1, 2))
        await asyncio.sleep(0)
        for _ in range(2):
            with db.write() as connection:
                wakes.mark(connection, [1])
            await asyncio.wait_for(marked, SOON)
            marked = asyncio.create_task(one.wake.wait(1))
        assert not other.done()
        for task in (other, marked):
            task.cancel()
    db.close()


async def test_mail_for_another_node_wakes_that_node(tmp_path: Path) -> None:
    """A node that accepts mail for an appliance it doesn't own leaves a mark for the owner."""
    db = make_database(tmp_path)
    numbers = add_appliances(db, 1)
    async with running(db.url, "owner") as owner, running(db.url, "acceptor") as acceptor:
        assert owner.owned(numbers)
        waiting = asyncio.create_task(owner.wake.wait(numbers[0]))
        await asyncio.sleep(0)
        acceptor.wake.notify(numbers)
        await asyncio.wait_for(waiting, SOON)
    db.close()


async def test_facts_changed_by_an_operator_are_known_soon(tmp_path: Path) -> None:
    """An appliance that another process adds is in the directory without anybody asking."""
    db = make_database(tmp_path)
    async with running(db.url, "one") as one:
        numbers = add_appliances(db, 1)
        await eventually(lambda: one.directory.appliance(numbers[0]))
    db.close()


def test_marks_are_numbered_in_order(tmp_path: Path) -> None:
    """Each look finds what is new since the last, once, and a row an appliance is all that is kept."""
    db = make_database(tmp_path)
    with db.write() as connection:
        assert latest(connection) == 0
        wakes.mark(connection, [])
        wakes.mark(connection, [1, 2, 2])
        assert since(connection, 0) == (1, {1, 2})
        wakes.mark(connection, [2])
        assert since(connection, 1) == (2, {2})
        assert since(connection, 2) == (2, set())
        assert since(connection, 0) == (2, {1, 2})
    db.close()
