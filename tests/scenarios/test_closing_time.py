"""Business hours: the outage is everybody's business, until the customer's office closes."""

from __future__ import annotations

from pathlib import Path

from tests.scenarios.stage import DOMAIN, ZONE, proven, stage


async def test_an_outage_of_business_hours_is_taken_over_at_closing_time(tmp_path: Path) -> None:
    """P1 that says when continuity will begin; at that minute it begins, and the ticket is a P3 with its proof."""
    async with stage(tmp_path, at="2026-11-27 17:50") as acme:
        await acme.goes_down()
        await acme.send(range(10))
        during = await acme.node.until(DOMAIN, ticket=1)
        assert during["continuity"] == "standby"
        acme.clock.leap_to("2026-11-27 17:59:59", ZONE)
        await acme.node.until(DOMAIN, ticket=3, continuity="active")
        await acme.send(range(10, 20))
        await acme.primary.start()
        await acme.all_home()

        ticket = await acme.node.until_resolved()
        assert ticket.priorities == [1, 3]
        assert (
            "customer's business hours; continuity begins when they end, at 2026-11-27T17:00:00Z."
            in (ticket.told("opened")[0])
        )
        assert "it is off hours for the customer" in proven(ticket)
        (lowered,) = [entry["at"] for entry in ticket.history if entry["event"] == "priority"]
        assert "2026-11-27T17:00:00Z" <= lowered < "2026-11-27T17:05:00Z"
        assert (await acme.balance())[DOMAIN]["delivered"] == 20
