"""What a drain writes down of itself, where other processes see it, and what stays of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from relay.appliances import facts, progress
from relay.appliances.facts import Continuity, ContinuityFact
from relay.appliances.progress import Handback, Phase, Progress
from relay.delivery.journal import Journal
from relay.mail import Reply
from tests.integration.delivery.house import House, house
from tests.support.primary import HANG, ScriptedPrimary
from tests.support.waiting import eventually


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.delivery.journal.EVERY", 0.05)


def _rows(home: House) -> list[Progress]:
    with home.db.read() as connection:
        return list(progress.going_on(connection).values())


def _begin_outage(home: House) -> int:
    """Mail is counted for it from now on."""
    with home.db.write() as connection:
        number = facts.begin_outage(connection, home.appliance.id, home.clock.now(), "as the test says")
        fact = ContinuityFact(Continuity.STANDBY, home.clock.now(), outage_id=number)
        facts.set_continuity(connection, home.appliance.id, fact)
    return number


def _handback(home: House, outage_id: int) -> Handback | None:
    with home.db.read() as connection:
        return progress.list_handbacks(connection, [outage_id]).get(outage_id)


async def test_a_drain_is_seen_while_it_goes_on_and_no_longer(tmp_path: Path) -> None:
    """One row, renewed, until it ends."""
    async with ScriptedPrimary() as primary, house(tmp_path, primary, max_connections=1) as home:
        for _ in range(30):
            await home.accept()
        primary.on_content = lambda taken: HANG if len(primary.messages) == 10 else None
        await home.returns()
        (row,) = await eventually(lambda: [one for one in _rows(home) if one.tried >= 10])
        assert (row.appliance_id, row.node, row.phase) == (home.appliance.id, "test", Phase.RUNNING)
        assert row.tried + row.left == 30
        assert row.rate > 0 and row.fresh(home.clock.now())
        await eventually(lambda: _rows(home)[0].at > row.at)
        await home.down()
        await eventually(lambda: not _rows(home))
        assert home.delivery.progress(home.appliance.id) is not None  # what is in flight may still come home
        await primary.drop_connections()


async def test_a_breaker_and_a_canary_are_told_from_a_drain_that_runs(tmp_path: Path) -> None:
    """Nobody is shown an estimate of them; the breaker's reason is there."""
    async with ScriptedPrimary() as primary, house(tmp_path, primary) as home:
        await home.accept(*(f"user{number}" for number in range(20)))
        primary.on_rcpt = lambda address: HANG
        home.canary()
        await eventually(lambda: [one for one in _rows(home) if one.phase is Phase.CANARY])
        primary.on_rcpt = lambda address: Reply(550, "5.1.1", "No such user")
        await primary.drop_connections()
        await home.up()
        (row,) = await eventually(lambda: [one for one in _rows(home) if one.phase is Phase.STOPPED])
        assert row.why == "20 of 20 recipients are refused"


async def test_what_an_outage_got_back_stays(tmp_path: Path) -> None:
    """Each recipient once, over several drains, until it is drained; a deferral is not handed over."""
    async with ScriptedPrimary() as primary, house(tmp_path, primary) as home:
        outage = _begin_outage(home)
        await home.accept("later")
        for _ in range(20):
            await home.accept("one", "two")
        primary.on_rcpt = lambda address: Reply(451, "4.7.1", "Not yet") if address.startswith("later") else None
        await home.returns()
        await eventually(lambda: (found := _handback(home, outage)) is not None and found.recipients == 40)
        assert (found := _handback(home, outage)) is not None
        assert found.messages == 20 and found.peak > 0
        await home.down()
        await eventually(lambda: home.delivery.progress(home.appliance.id) is None)
        primary.on_rcpt = None
        home.clock.ahead += 3600
        await home.returns()
        await eventually(lambda: (found := _handback(home, outage)) is not None and found.recipients == 41)
        with home.db.write() as connection:
            facts.mark_outage(connection, outage, drained_at=home.clock.now())
        home.clock.ahead += 60
        await home.restart_delivery()
        await home.accept("after")
        await eventually(lambda: home.waiting() == 0)
        await home.restart_delivery()  # writes what there is
        assert (found := _handback(home, outage)) is not None and found.recipients == 41


async def test_what_a_dead_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    """Of the same name; another node's rows are its own."""
    async with house(tmp_path) as home:
        left = Progress(home.appliance.id, "dead", 1.0, 2.0, Phase.RUNNING, 3, 4, 5.0, 6.0)
        with home.db.write() as connection:
            progress.write(connection, "dead", [left], [])
            progress.forget(connection, "other")
        assert _rows(home) == [left]
        again = asyncio.create_task(Journal(home.db, home.clock, "dead", {}).run())
        await eventually(lambda: not _rows(home))
        again.cancel()
