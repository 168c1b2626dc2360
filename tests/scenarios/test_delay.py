"""The appliance is up, and mail is slow all the same: significant, but no outage."""

from __future__ import annotations

import asyncio
from pathlib import Path

from relay.mail import Reply
from tests.scenarios.stage import DOMAIN, MORNING, NIGHT, stage


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


async def test_a_primary_that_refuses_us_is_a_p2_and_keeps_its_mail_here(tmp_path: Path) -> None:
    """554 for a banner: significant, but no outage; nothing is tried meanwhile, and all goes home when it relents."""
    async with stage(tmp_path, at=MORNING) as acme:
        await acme.is_up()
        acme.primary.on_banner = Reply(554, "5.7.1", "You are not welcome")
        await acme.node.until(DOMAIN, health="delayed", ticket=2)
        await acme.send(range(5))
        rows = await acme.node.until_waiting(lambda rows: len(rows) == 5)
        assert {row["attempts"] for row in rows} == {0}
        shown = await acme.node.status(DOMAIN)
        assert (shown["continuity"], shown["health_reason"].partition(":")[0]) == ("standby", "refused")

        acme.primary.on_banner = None
        await acme.all_home()
        ticket = await acme.node.until_resolved()
        assert (ticket.events, ticket.priorities) == (["opened", "resolved"], [2])
        assert "You are not welcome" in ticket.told("opened")[0]
        assert ticket.facts["respond_due"].startswith("2026-11-27T13:0")  # four hours of the desk's, which is in UTC
        await acme.balance()


async def test_mail_that_waits_for_a_primary_that_answers_is_a_p2(tmp_path: Path) -> None:
    """It answers every probe and is silent at RCPT: after 15 minutes that is a delay, and over when it speaks again."""
    async with stage(tmp_path, at=NIGHT) as acme:
        await acme.is_up()
        speaks = asyncio.Event()

        async def later(_: str) -> None:
            await speaks.wait()

        acme.primary.on_rcpt = later
        await acme.send(range(3))
        acme.clock.leap(901)
        await acme.node.until(DOMAIN, health="delayed", ticket=2)
        ticket = await acme.node.ticket()
        assert "mail has waited for 15 minutes though the primary answers" in ticket.told("opened")[0]
        speaks.set()
        await acme.all_home()
        ticket = await acme.node.until_resolved()
        assert ticket.events == ["opened", "resolved"]
        await acme.balance()


async def test_a_delay_that_becomes_an_outage_is_one_ticket(tmp_path: Path) -> None:
    """P2, raised to P1 with a cycle of its own, lowered to P3 with the proof, and resolved with the ledger."""
    async with stage(tmp_path, at=NIGHT) as acme:
        await acme.is_up()
        acme.primary.on_banner = Reply(554, "5.7.1", "You are not welcome")
        await acme.node.until(DOMAIN, health="delayed", ticket=2)
        await acme.primary.stop()
        await acme.is_down()
        await acme.send(range(5))
        await acme.node.until(DOMAIN, continuity="active", ticket=3)
        acme.primary.on_banner = None
        await acme.primary.start()
        await acme.all_home()
        ticket = await acme.node.until_resolved()
        assert ticket.priorities == [2, 1, 3]
        assert ticket.events == ["opened", "priority", "priority", "resolved"]
        assert f"{DOMAIN}: 5 accepted = 5 delivered" in ticket.told("resolved")[0]
        await acme.balance()


async def test_an_outage_that_ends_in_a_delay_is_a_p2_once_all_was_tried(tmp_path: Path) -> None:
    """The ticket of the outage keeps its priority until then; it is resolved when mail flows again."""
    # It is known to be delayed before the outage has settled.
    async with stage(tmp_path, at=NIGHT, settings={"continuity": {"settle": 90}}) as acme:
        await acme.goes_down()
        await acme.send(range(25))
        await acme.node.until(DOMAIN, continuity="active", ticket=3)
        acme.primary.on_rcpt = Reply(451, "4.3.0", "Directory is busy")
        await acme.primary.start()
        await acme.node.until_waiting(lambda rows: all(row["attempts"] for row in rows))
        acme.clock.leap(75)
        await acme.node.until(DOMAIN, health="delayed", ticket=2)
        acme.primary.on_rcpt = None
        acme.clock.leap(150)
        await acme.all_home()
        acme.clock.leap(600)
        await acme.node.until(DOMAIN, health="up")
        acme.clock.leap(90)
        ticket = await acme.node.until_resolved()
        assert ticket.priorities == [1, 3, 2]
        assert "mail is delayed since" in ticket.told("priority", to=2)[0]
        await acme.balance()
