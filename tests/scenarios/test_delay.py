"""The appliance is up, and mail is slow all the same: significant, but no outage."""

from __future__ import annotations

from pathlib import Path

from relay.mail import Reply
from tests.scenarios.stage import DOMAIN, NIGHT, stage


async def test_a_primary_that_puts_off_most_mail_is_a_p2_until_it_takes_it(tmp_path: Path) -> None:
    """4xx at a second attempt for most of the mail is a delay: P2, resolved once mail flows, and nothing is lost."""
    async with stage(tmp_path, at=NIGHT) as acme:
        await acme.is_up()
        acme.primary.on_rcpt = Reply(451, "4.3.0", "Directory is busy")
        await acme.send(range(25))
        await acme.node.until_waiting(lambda rows: [row["attempts"] for row in rows] == [1] * 25)
        acme.clock.leap(75)
        shown = await acme.node.until(DOMAIN, health="delayed", ticket=2)
        assert (shown["continuity"], shown["queued"]) == ("standby", 25)

        acme.primary.on_rcpt = None
        acme.clock.leap(150)
        await acme.all_home()
        acme.clock.leap(600)
        await acme.node.until(DOMAIN, health="up")
        ticket = await acme.node.until_resolved()
        assert (ticket.events, ticket.priorities) == (["opened", "resolved"], [2])
        assert "acme answers, but mail is delayed since" in ticket.told("opened")[0]
        assert "recipients in 10 minutes got 4xx" in ticket.told("opened")[0]
        assert "acme answers as it should since" in ticket.told("resolved")[0]
        assert (await acme.node.relayctl("failover", "history", "acme"))["outages"] == []
        assert (await acme.balance())[DOMAIN]["delivered"] == 25
