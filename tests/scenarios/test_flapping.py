"""An appliance that comes and goes: one ticket tells all of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from tests.scenarios.stage import DOMAIN, NIGHT, stage


async def test_an_appliance_that_flaps_has_one_ticket_until_it_was_quiet_for_half_an_hour(tmp_path: Path) -> None:
    """Reopened at the second outage; after the third it stays open, though drained, for 30 quiet minutes."""
    async with stage(tmp_path, at=NIGHT) as acme:
        await acme.is_up()
        for outage in range(3):
            await acme.primary.stop()
            await acme.is_down()
            if outage < 2:
                await acme.send(range(5 * outage, 5 * outage + 5))
            await acme.node.until(DOMAIN, ticket=3)
            await acme.primary.start()
            await acme.all_home()
            if outage < 2:
                await acme.node.until_resolved()
                acme.clock.leap(300)
        drained = await acme.node.until_told("All mail that waited when acme came back has been tried.", times=3)
        assert not drained.resolved
        await acme.node.until_idle()
        acme.clock.leap(1700)
        await acme.node.relayctl("domain", "add", "acme-late.example", "--appliance", "acme")
        await acme.node.until_told("acme-late.example")  # the ticket was looked at, and stays open
        acme.clock.leap(100)
        ticket = await acme.node.until_resolved()

        again = ("reopened", "priority")
        assert ticket.events == ["opened", "priority", "resolved", *again, "resolved", *again, "domains", "resolved"]
        assert ticket.priorities == [1, 3, 1, 3, 1, 3]
        assert (await acme.node.ticket()).id == ticket.id
        third, *others = (await acme.node.relayctl("failover", "history", "acme"))["outages"]
        assert len(others) == 2
        quiet = datetime.fromisoformat(third["ended_at"]) - datetime.fromisoformat(third["returned_at"])
        assert timedelta(minutes=29, seconds=59) < quiet < timedelta(minutes=31)
        await acme.balance()
