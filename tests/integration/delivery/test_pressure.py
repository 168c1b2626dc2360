"""How hard a primary is pressed: its replies, the operator's limits, and the order of mail."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from relay import events
from relay.delivery.pace import Pace
from relay.mail import Reply
from tests.integration.delivery.house import House, house
from tests.support.primary import ScriptedPrimary, Taken
from tests.support.waiting import eventually


def pace(home: House) -> Pace | None:
    """Of the drain that goes on."""
    return home.delivery.pace(home.appliance.id)


def pressed_less() -> float:
    """As the metric counts it for the appliance."""
    return events.registry.get_sample_value("relay_pressed_less_total", {"appliance": "acme"}) or 0.0


def names(primary: ScriptedPrimary) -> list[str]:
    return [taken.recipients[0].partition("@")[0] for taken in primary.messages]


async def test_replies_that_grow_slower_with_the_connections_halve_them(tmp_path: Path) -> None:
    """A primary that can do less the more it has to do gets fewer connections, and it is said why."""
    under_way = most = 0

    async def labour(taken: Taken) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.02 * under_way**2)
        under_way -= 1

    async with ScriptedPrimary() as primary, house(tmp_path, primary, max_connections=16) as home:
        primary.on_content = labour
        for _ in range(60):
            await home.accept()
        before = pressed_less()
        await home.returns()
        told = await eventually(lambda: (now := pace(home)) is not None and now.why and now)
        assert isinstance(told, Pace)
        assert f"{primary.address}: 2 of 16 connections, because replies took 0." in told.why
        await eventually(lambda: home.waiting() == 0)
        assert most == 4
        assert pressed_less() > before
        assert len(primary.messages) == 60


async def test_a_slow_but_steady_primary_gets_all_connections(tmp_path: Path) -> None:
    """Replies that take their time, however many there are, are no reason for fewer."""
    most = 0

    async def think(taken: Taken) -> None:
        nonlocal most
        most = max(most, primary.open_connections)
        await asyncio.sleep(0.3)

    async with ScriptedPrimary() as primary, house(tmp_path, primary, max_connections=6) as home:
        primary.on_content = think
        for _ in range(60):
            await home.accept()
        await home.returns()
        await eventually(lambda: home.waiting() == 0, timeout=30)
        assert most == 6


async def test_a_push_back_is_told_with_its_words(tmp_path: Path) -> None:
    """Whoever looks at the drain reads how many connections there are, and what the primary said."""
    async with ScriptedPrimary() as primary, house(tmp_path, primary, max_connections=8, ramp=False) as home:
        primary.on_banner = lambda: Reply(421, "4.3.2", "Busy") if primary.open_connections > 2 else None
        primary.delay = 0.005
        for _ in range(150):
            await home.accept()
        await home.returns()
        told = await eventually(lambda: (now := pace(home)) is not None and "Busy" in now.why and now)
        assert isinstance(told, Pace)
        assert told.limit == 8
        assert told.width < 8
        await eventually(lambda: home.waiting() == 0)


async def test_an_operator_s_limit_of_connections_is_heeded_at_once(tmp_path: Path) -> None:
    """It holds for a drain that goes on; without it the node's setting holds again."""
    async with ScriptedPrimary() as primary, house(tmp_path, primary, max_connections=6, ramp=False) as home:
        primary.delay = 0.01
        for _ in range(600):
            await home.accept()
        await home.returns()
        await eventually(lambda: primary.open_connections == 6)
        await home.set_appliance(max_connections=2)
        await eventually(lambda: primary.open_connections == 2)
        assert (now := pace(home)) is not None
        assert (now.limit, now.width) == (2, 2)
        await home.set_appliance(max_connections=None)
        await eventually(lambda: primary.open_connections == 6)
        primary.delay = 0.0
        await eventually(lambda: home.waiting() == 0)


async def test_an_operator_s_ceiling_holds_from_the_canary_on(tmp_path: Path) -> None:
    """No more messages a second than was said, over how many connections ever; a drain that goes on obeys at once."""
    begun: list[float] = []

    def note(sender: str) -> None:
        begun.append(asyncio.get_running_loop().time())

    async with ScriptedPrimary() as primary, house(tmp_path, primary, max_connections=5, ramp=False) as home:
        primary.on_mail = note
        for number in range(100):
            await home.accept(f"r{number}")
        await home.set_appliance(max_rate=10.0)
        await home.returns()
        await eventually(lambda: len(primary.messages) >= 16)
        told = pace(home)
        assert told is not None
        assert told.max_rate == 10.0
        assert len(begun) <= 10 * (begun[-1] - begun[0]) + 2
        await home.set_appliance(max_rate=None)
        await eventually(lambda: home.waiting() == 0)
        assert sorted(names(primary)) == sorted(f"r{number}" for number in range(100))


async def test_a_low_ceiling_keeps_one_connection_and_no_more(tmp_path: Path) -> None:
    """A message every other second needs no second connection, and no new one for each."""
    async with ScriptedPrimary() as primary, house(tmp_path, primary, max_connections=5, ramp=False) as home:
        await home.set_appliance(max_rate=0.18)  # more seconds for a message than a connection waits for mail
        for _ in range(20):
            await home.accept()
        await home.returns()
        await eventually(lambda: len(primary.messages) == 2, timeout=15)
        assert primary.connections == 1
        await home.set_appliance(max_rate=None)
        await eventually(lambda: home.waiting() == 0)


async def test_with_few_connections_every_fourth_message_is_the_newest(tmp_path: Path) -> None:
    """Fresh mail doesn't wait for the whole backlog where one connection is all there is."""
    async with ScriptedPrimary() as primary, house(tmp_path, primary, max_connections=1) as home:
        primary.delay = 0.01
        for number in range(500):
            await home.accept(f"r{number:03}")
        await home.returns()
        await eventually(lambda: len(primary.messages) >= 40)
        found = names(primary)[4:40]  # the page of the newest is read when it is first asked for
        newest = [name for name in found if name >= "r400"]
        assert len(newest) == 9
        oldest = [name for name in found if name not in newest]
        assert oldest == sorted(oldest)
        assert newest == sorted(newest, reverse=True)
        fresh = await home.accept("zfresh")
        assert fresh == 501
        await eventually(lambda: "zfresh" in names(primary))
        assert home.waiting() > 0
        primary.delay = 0.0
        await eventually(lambda: home.waiting() == 0)


@pytest.mark.parametrize("lanes", [1, 2])
async def test_of_four_connections_one_takes_the_newest_first(lanes: int, tmp_path: Path) -> None:
    """Three connections work off the backlog from its oldest end, one from its newest."""
    width = 4 * lanes
    async with ScriptedPrimary() as primary, house(tmp_path, primary, max_connections=width, ramp=False) as home:
        primary.delay = 0.005
        await asyncio.gather(*(home.accept(f"r{number:03}") for number in range(900)))
        await home.returns()
        await eventually(lambda: len(primary.messages) >= 50 * width)
        by_connection: dict[int, list[str]] = {}
        for taken, name in zip(primary.messages, names(primary), strict=True):
            by_connection.setdefault(taken.connection, []).append(name)
        # A page of the newest is read when it is asked for: until it is here the oldest is taken.
        shares = [sum(name >= "r600" for name in found) / len(found) for found in by_connection.values()]
        assert sorted(share > 0.5 for share in shares) == [False] * 3 * lanes + [True] * lanes
        assert sorted(shares)[: 3 * lanes] == [0.0] * 3 * lanes
        primary.delay = 0.0
        await eventually(lambda: home.waiting() == 0)
