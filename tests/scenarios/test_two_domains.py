"""Two domains of one appliance: one outage, one ticket, two lines in the ledger."""

from __future__ import annotations

from pathlib import Path

from tests.scenarios.stage import DOMAIN, NIGHT, proven, stage

SHOP = "acme-shop.example"


async def test_two_domains_of_an_appliance_share_a_ticket(tmp_path: Path) -> None:
    """The ticket lists both and is resolved with both balances; a letter to both arrives once for each recipient."""
    async with stage(tmp_path, at=NIGHT, domains=(DOMAIN, SHOP)) as acme:
        await acme.is_up()
        await acme.node.until(SHOP, health="up")
        await acme.primary.stop()
        await acme.is_down()
        await acme.send(range(5))
        await acme.send(range(5, 10), to=(f"both@{DOMAIN}", f"both@{SHOP}", f"shop@{SHOP}"))
        first, second = await acme.node.until(DOMAIN, ticket=3), await acme.node.until(SHOP, ticket=3)
        assert first["ticket"] == second["ticket"]
        assert (first["queued"], second["queued"]) == (10, 10)
        await acme.primary.start()
        await acme.all_home()

        ticket = await acme.node.until_resolved()
        assert ticket.id == (await acme.node.ticket()).id
        assert ticket.facts["domains"] == [SHOP, DOMAIN]
        assert ticket.events == ["opened", "priority", "resolved"]
        assert SHOP in proven(ticket) or SHOP in ticket.told("priority", to=3)[0]
        for domain in (DOMAIN, SHOP):
            assert f"\n{domain}: 10 accepted = 10 delivered" in ticket.told("resolved")[0]
        await acme.balance()
        assert len(acme.primary.messages) == 10, "one transaction for each letter"
