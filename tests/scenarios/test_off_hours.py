"""Off hours: the relay takes over, can prove it, and the engineer on call may sleep."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.scenarios.stage import DOMAIN, NIGHT, proven, stage
from tests.support.primary import HANG

pytestmark = pytest.mark.usefixtures("engine")


async def test_an_outage_at_night_is_a_p3_with_its_proof_and_costs_no_letter(tmp_path: Path) -> None:
    """P1, P3 with all six proofs, resolved with the balance; all letters come home, those sent meanwhile too."""
    async with stage(tmp_path, at=NIGHT) as acme:
        await acme.is_up()
        await acme.primary.stop()
        await acme.send(range(10))  # before anybody knows
        await acme.is_down()
        await acme.send(range(10, 40))
        await acme.send([40], sender="")
        shown = await acme.node.until(DOMAIN, ticket=3)
        assert (shown["continuity"], shown["ready"], shown["queued"]) == ("active", True, 41)

        await acme.primary.start()
        await acme.send(range(41, 60))
        await acme.all_home()
        ticket = await acme.node.until_resolved()
        after = await acme.node.status(DOMAIN)
        assert (after["health"], after["continuity"], after["ticket"]) == ("up", "standby", None)

        assert ticket.events == ["opened", "priority", "resolved"]
        assert ticket.priorities == [1, 3]
        assert "No mail flow; the relay accepts and queues the mail" in ticket.told("opened")[0]
        assert "it is off hours for the customer, and it is proven" in proven(ticket)
        assert any("answers again since" in told for told in ticket.told("comment")), ticket.story
        assert f"\n{DOMAIN}: 60 accepted = 60 delivered" in ticket.told("resolved")[0], ticket.story
        assert (await acme.balance())[DOMAIN]["delivered"] == 60
        history = (await acme.node.relayctl("failover", "history", "acme"))["history"]
        assert [line["to"] for line in history] == ["standby", "draining", "active"]


async def test_a_primary_that_is_silent_is_down(tmp_path: Path) -> None:
    """A host that takes connections and never says a word is an outage like one that refuses them."""
    async with stage(tmp_path, at=NIGHT, settings={"watch": {"reply_timeout": 1.0, "down_after": 2}}) as acme:
        await acme.is_up()
        acme.primary.on_banner = HANG
        await acme.is_down()
        await acme.send(range(5))
        await acme.node.until(DOMAIN, ticket=3)
        acme.primary.on_banner = None
        await asyncio.gather(acme.all_home(), acme.node.until_resolved())
        await acme.balance()
