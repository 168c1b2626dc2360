"""The centre works in Request Tracker: an outage goes its whole way there, and what engineers do there counts here."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scenarios.stage import DOMAIN, NIGHT, Stage, proven, stage
from tests.support.desk import PATIENCE
from tests.support.rt.tracker import RequestTracker, request_tracker
from tests.support.waiting import eventually

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def rt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RequestTracker]:
    with request_tracker(tmp_path_factory.mktemp("tracker")) as server:
        yield server


async def number_in_rt(acme: Stage) -> int:
    async def known() -> str:
        return str((await acme.node.ticket()).facts["external_ref"] or "")

    return int((await eventually(known, timeout=PATIENCE)).removeprefix("RT#"))


async def until_told(acme: Stage) -> None:
    """Until RT has been told everything."""

    async def told() -> bool:
        status = await acme.node.relayctl("status")
        return int(status["helpdesk"]["waiting"]) == 0

    await eventually(told, timeout=PATIENCE)


async def test_an_outage_and_an_engineers_reply(tmp_path: Path, rt: RequestTracker) -> None:
    """P1 in RT, P3 with the proof, the drain's progress, resolved; dana's reply there stops our response clock."""
    async with stage(tmp_path, at=NIGHT, settings={"helpdesk": {**rt.settings, "poll": 0.3}}) as acme:
        await acme.goes_down()
        await acme.send(range(30))
        await acme.node.until(DOMAIN, ticket=3)
        number = await number_in_rt(acme)
        dana = rt.person("dana")
        await asyncio.to_thread(dana.take, number)
        await asyncio.to_thread(dana.reply, number, "Your mail is safe with us.")
        ticket = await acme.node.until_told("Your mail is safe with us.")
        assert [entry["actor"] for entry in ticket.history if entry["event"] == "responded"] == ["dana"]
        await until_told(acme)
        shown = await asyncio.to_thread(rt.ticket, number)
        assert (shown["Priority"], shown["Status"], shown["Owner"]) == ("30", "open", "dana")

        await acme.primary.start()
        await acme.all_home()
        ticket = await acme.node.until_resolved()
        await until_told(acme)
        assert (ticket.facts["assignee"], ticket.facts["external_ref"]) == ("dana", f"RT#{number}")
        proven(ticket)
        shown = await asyncio.to_thread(rt.ticket, number)
        assert (shown["Priority"], shown["Status"]) == ("30", "resolved")
        told = await asyncio.to_thread(rt.comments, number)
        assert (told[0], told[-1]) == ("P1 → P3", "resolved")
        assert "comment" in told, "the drain's progress"
        await acme.balance()


async def test_rt_is_off_for_as_long_as_the_outage(tmp_path: Path, rt: RequestTracker) -> None:
    """Nothing is lost or doubled: RT learns of all of it afterwards, in order, and ends as it would have."""
    async with stage(tmp_path, at=NIGHT, settings={"helpdesk": {**rt.settings, "poll": 0.3}}) as acme:
        await acme.is_up()
        rt.stop()
        await acme.primary.stop()
        await acme.is_down()
        await acme.send(range(10))
        await acme.node.until(DOMAIN, ticket=3)
        await acme.primary.start()
        await acme.all_home()
        ticket = await acme.node.until_resolved()
        status = await acme.node.relayctl("status")
        assert "can't be reached" in status["helpdesk"]["trouble"]
        await asyncio.to_thread(rt.start)
        acme.clock.leap(600)
        await until_told(acme)
        number = await number_in_rt(acme)
        shown = await asyncio.to_thread(rt.ticket, number)
        assert (shown["Priority"], shown["Status"]) == ("30", "resolved")
        told = await asyncio.to_thread(rt.comments, number)
        assert ticket.events == ["opened", "priority", "resolved"]
        assert (told[0], told[-1], set(told[1:-1])) == ("P1 → P3", "resolved", {"comment"})
        incident = shown["Fields"]["RelayIncident"]
        alike = [one for one in await asyncio.to_thread(rt.tickets) if one["Fields"].get("RelayIncident") == incident]
        assert len(alike) == 1
        await acme.balance()
