"""The month in which the story played, as the customer is told of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scenarios.stage import NIGHT, stage

pytestmark = pytest.mark.usefixtures("engine")


async def test_an_outage_at_night_is_in_the_report_of_its_month(tmp_path: Path) -> None:
    """Two hours away, covered but for the first moments; all mail kept and returned; nobody came, and nobody had to."""
    async with stage(tmp_path, at=NIGHT, settings={"support": {"timezone": "Europe/Berlin"}}) as acme:
        await acme.goes_down()
        await acme.send(range(5))
        await acme.node.until("acme.example", continuity="active", ticket=3)
        acme.clock.leap(7200)
        await acme.node.until("acme.example", ready=True)
        running = await acme.node.relayctl("sla", "report", "acme")
        assert running["customers"][0]["outages"][0]["ended_at"] is None
        await acme.primary.start()
        await acme.all_home()
        await acme.node.until_resolved()
        told = await acme.node.relayctl("sla", "report", "--month", "2026-11", "--customer", "Acme Ltd")
        (month,) = told["customers"]
        assert 120 <= month["minutes_covered"] <= month["minutes_without_primary"] < 123
        assert (month["messages_kept"], month["messages_returned"], month["messages_waiting"]) == (5, 5, 0)
        (line,) = month["tickets"]
        assert [clock["result"] for clock in (line["cycles"][0]["acknowledge"], line["cycles"][0]["respond"])] == [
            "ended"
        ] * 2
        assert month["breaches"] == 0
        await acme.balance()
