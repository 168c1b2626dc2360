"""Announced work: mail is kept as ever, and nobody is woken before it should be over."""

from __future__ import annotations

from pathlib import Path

from tests.scenarios.stage import DOMAIN, MORNING, ZONE, stage
from tests.support.desk import PATIENCE
from tests.support.waiting import eventually


async def test_a_maintenance_that_takes_too_long_is_a_p1_from_its_end_on(tmp_path: Path) -> None:
    """No ticket in the window; at its end a P1 whose clocks start then."""
    async with stage(tmp_path, at=MORNING) as acme:
        await acme.is_up()
        await acme.node.relayctl(
            "maintenance", "add", "acme", "--from", "2026-11-27T08:59", "--to", "2026-11-27T09:10", "--reason", "disks"
        )
        await acme.primary.stop()
        await acme.is_down()
        await acme.send(range(10))
        acme.clock.leap_to("2026-11-27 10:09", ZONE)
        await acme.send(range(10, 12))
        assert await acme.node.tickets() == []
        acme.clock.leap_to("2026-11-27 10:10", ZONE)
        await acme.node.until(DOMAIN, ticket=1)
        await acme.primary.start()
        await acme.all_home()

        ticket = await acme.node.until_resolved()
        assert ticket.priorities == [1]
        assert ticket.facts["opened_at"] >= "2026-11-27T09:10:00Z"
        assert ticket.facts["acknowledge_due"] == "2026-11-27T10:10:00Z"
        await acme.balance()


async def test_a_maintenance_that_is_over_in_time_has_no_ticket(tmp_path: Path) -> None:
    """Mail of the window is handed back, the outage is in the history, and the desk never hears of it."""
    async with stage(tmp_path, at=MORNING) as acme:
        await acme.is_up()
        await acme.node.relayctl("maintenance", "add", "acme", "--for", "2h")
        await acme.primary.stop()
        await acme.is_down()
        await acme.send(range(10))
        acme.clock.leap_to("2026-11-27 10:30", ZONE)
        await acme.node.relayctl("failover", "activate", "acme", "-m", "it may take long")
        await acme.node.until(DOMAIN, continuity="active", ticket=None)
        await acme.primary.start()
        await acme.all_home()

        async def outage_over() -> bool:
            (outage,) = (await acme.node.relayctl("failover", "history", "acme"))["outages"]
            return outage["ended_at"] is not None

        await eventually(outage_over, timeout=PATIENCE)
        assert await acme.node.tickets() == []
        assert (await acme.balance())[DOMAIN]["delivered"] == 10
