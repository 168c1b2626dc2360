"""A takeover of the night that lasts until the customer's people come to work."""

from __future__ import annotations

from pathlib import Path

from tests.scenarios.stage import DOMAIN, ZONE, proven, stage

DAWN = "2026-11-30 08:21"
"""A Monday, 39 minutes before the office opens."""


async def test_a_takeover_becomes_a_p1_half_an_hour_before_the_office_opens(tmp_path: Path) -> None:
    """P3 by night, P1 again in time for somebody to act; continuity goes on all the while."""
    async with stage(tmp_path, at=DAWN) as acme:
        await acme.goes_down()
        await acme.send(range(10))
        await acme.node.until(DOMAIN, ticket=3)
        acme.clock.leap_to("2026-11-30 08:30", ZONE)
        shown = await acme.node.until(DOMAIN, ticket=1)
        assert (shown["continuity"], shown["ready"]) == ("active", True)
        await acme.primary.start()
        await acme.all_home()

        ticket = await acme.node.until_resolved()
        assert ticket.priorities == [1, 3, 1]
        proven(ticket)
        raised = ticket.told("priority", to=1)[0]
        assert "active and proven; business hours begin at 2026-11-30T08:00:00Z: the priority is P1." in raised
        await acme.balance()


async def test_a_takeover_stays_a_p3_where_the_settings_say_so(tmp_path: Path) -> None:
    """With on_business_hours = "keep" the opening of the office changes nothing."""
    async with stage(tmp_path, at=DAWN, settings={"continuity": {"on_business_hours": "keep"}}) as acme:
        await acme.goes_down()
        await acme.send(range(3))
        await acme.node.until(DOMAIN, ticket=3)
        acme.clock.leap_to("2026-11-30 08:33", ZONE)
        acme.clock.leap_to("2026-11-30 09:01", ZONE)
        await acme.primary.start()
        await acme.all_home()

        ticket = await acme.node.until_resolved()
        assert ticket.facts["resolved_at"] >= "2026-11-30T08:01:00Z"
        assert ticket.priorities == [1, 3]
        await acme.balance()
