"""A primary that comes back and greylists the newcomer that hands it the mail of the night."""

from __future__ import annotations

from pathlib import Path

from relay.mail import Reply
from tests.scenarios.stage import DOMAIN, NIGHT, stage
from tests.support.primary import Answer


async def test_greylisted_mail_is_listed_in_the_resolution_and_delivered_at_its_next_time(tmp_path: Path) -> None:
    """4xx for some recipients of a message puts off these alone; the ticket doesn't wait for them, the mail does."""
    async with stage(tmp_path, at=NIGHT) as acme:
        await acme.goes_down()
        await acme.send(range(6), to=(f"at-once@{DOMAIN}", f"grey@{DOMAIN}", f"later@{DOMAIN}"))
        await acme.node.until(DOMAIN, ticket=3)

        def greylists(address: str) -> Answer:
            return None if address.startswith("at-once") else Reply(450, "4.2.0", "Greylisted, come back later")

        acme.primary.on_rcpt = greylists
        await acme.primary.start()
        ticket = await acme.node.until_resolved()
        assert f"\n{DOMAIN}: 18 accepted = 6 delivered + 12 queued" in ticket.told("resolved")[0], ticket.story
        assert (await acme.balance())[DOMAIN]["queued"] == 12
        waiting = await acme.node.waiting()
        assert {row["last_reply"] for row in waiting} == {"450 4.2.0 Greylisted, come back later"}
        assert {row["attempts"] for row in waiting} == {1}

        acme.primary.on_rcpt = None
        acme.clock.leap(365)  # greylisting wants five minutes
        await acme.all_home()
        await acme.node.until(DOMAIN, queued=0)
        assert (await acme.balance())[DOMAIN]["delivered"] == 18
        assert (await acme.node.ticket()).priorities == [1, 3]
        assert len([command for command in acme.primary.commands if "<at-once@" in command]) == 6
