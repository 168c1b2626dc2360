"""A primary that is up and has its limits: connections at a time, messages a session."""

from __future__ import annotations

from pathlib import Path

from relay.mail import Reply
from tests.scenarios.stage import DOMAIN, NIGHT, stage
from tests.support.primary import Answer


async def test_421_in_mid_drain_is_no_outage(tmp_path: Path) -> None:
    """Sent away at the banner and between messages, everything arrives once, and nobody calls the primary down."""
    async with stage(tmp_path, at=NIGHT) as acme:
        await acme.goes_down()
        await acme.send(range(80))
        await acme.node.until(DOMAIN, ticket=3)
        refused: list[str] = []

        def at_banner() -> Answer:
            if acme.primary.open_connections <= 3:
                return None
            refused.append("banner")
            return Reply(421, "4.7.0", "Too many connections")

        def at_mail(_sender: str) -> Answer:
            if len(acme.primary.messages) % 20 != 15 or refused.count("mail") >= 4:
                return None
            refused.append("mail")
            return Reply(421, "4.7.0", "Too many messages")

        acme.primary.on_banner, acme.primary.on_mail = at_banner, at_mail
        await acme.primary.start()
        await acme.all_home()
        ticket = await acme.node.until_resolved()
        assert refused, "nothing was ever refused"
        assert ticket.events == ["opened", "priority", "resolved"], ticket.story
        assert len((await acme.node.relayctl("failover", "history", "acme"))["outages"]) == 1
        assert (await acme.balance())[DOMAIN]["delivered"] == 80
