"""People were first, or know better: the relay joins their ticket, and leaves their word standing."""

from __future__ import annotations

from pathlib import Path

from tests.scenarios.stage import DOMAIN, NIGHT, proven, stage


async def test_a_ticket_that_a_person_opened_is_adopted(tmp_path: Path) -> None:
    """A customer rings before any probe fails; the relay goes on in that ticket, and resolves it with the ledger."""
    async with stage(tmp_path, at=NIGHT) as acme:
        await acme.is_up()
        opened = await acme.node.relayctl("ticket", "open", "acme", "--priority", "2", "-m", "the customer rang: slow")
        await acme.primary.stop()
        await acme.is_down()
        await acme.send(range(10))
        await acme.node.until(DOMAIN, ticket=3)
        await acme.primary.start()
        await acme.all_home()

        ticket = await acme.node.until_resolved()
        assert ticket.id == opened["id"] == (await acme.node.ticket()).id
        assert ticket.events == ["opened", "adopted", "priority", "priority", "resolved"]
        assert ticket.priorities == [2, 1, 3]
        assert "acme is down since" in ticket.told("adopted")[0]
        proven(ticket)
        assert f"\n{DOMAIN}: 10 accepted = 10 delivered" in ticket.told("resolved")[0]
        await acme.balance()


async def test_a_persons_priority_stands_until_the_facts_change(tmp_path: Path) -> None:
    """Raised by a person in mid-outage, it stays a P1 through the return, and is resolved as ever."""
    async with stage(tmp_path, at=NIGHT) as acme:
        await acme.goes_down()
        await acme.send(range(10))
        await acme.node.until(DOMAIN, ticket=3)
        number = str((await acme.node.ticket()).id)
        await acme.node.relayctl("ticket", "ack", number)
        await acme.node.relayctl("ticket", "priority", number, "1", "-m", "their tender ends tonight")
        await acme.node.relayctl("domain", "add", "acme-late.example", "--appliance", "acme")
        await acme.node.until_told("acme-late.example")  # the relay has had its say, and left the priority alone
        await acme.primary.start()
        await acme.all_home()
        ticket = await acme.node.until_resolved()
        assert ticket.priorities == [1, 3, 1]
        assert [entry["actor"] for entry in ticket.history if entry["event"] == "priority"] == ["relay", acme.node.who]
        await acme.balance()
