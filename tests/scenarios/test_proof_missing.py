"""No proof, no downgrade: what can't be shown to work is nobody's reason to sleep."""

from __future__ import annotations

from pathlib import Path

from tests.scenarios.stage import DOMAIN, NIGHT, proven, stage
from tests.support.desk import PATIENCE
from tests.support.node import HOSTNAME
from tests.support.waiting import eventually

MINUTES = 121
"""Seconds after which what has failed is tried again."""


async def test_without_the_mx_record_an_outage_stays_a_p1_until_it_is_mended(tmp_path: Path) -> None:
    """The P1 and a P3 about the DNS name what is missing and how to mend it; mended, the P1 becomes a P3."""
    async with stage(tmp_path, at=NIGHT) as acme:
        acme.dns.records[f"{DOMAIN} MX"] = ["10 mail.acme.example."]
        await acme.is_up()
        mend = f"doesn't list this relay; add: {DOMAIN} MX 20 {HOSTNAME}"
        await acme.node.until_told(mend, "mx")
        await acme.primary.stop()
        await acme.is_down()
        await acme.send(range(10))
        shown = await acme.node.until(DOMAIN, ticket=1, failing_proofs=["dns"])
        assert shown["continuity"] == "standby"
        # On a busy machine the ticket opens before the proofs have a result, and then this comes as a comment.
        stays = "Continuity can't be proven, so the priority stays P1.\nfailing dns: "
        opened = await acme.node.until_told(stays)
        told = next(entry["reason"] for entry in opened.history if stays in entry["reason"])
        assert mend in told, opened.story

        acme.dns.records[f"{DOMAIN} MX"] = ["10 mail.acme.example.", f"20 {HOSTNAME}."]

        async def lowered() -> bool:
            acme.clock.leap(MINUTES)
            return bool((await acme.node.status(DOMAIN))["ticket"]["priority"] == 3)

        await eventually(lowered, timeout=PATIENCE, every=0.6)
        await acme.primary.start()
        await acme.all_home()
        ticket = await acme.node.until_resolved()
        assert ticket.priorities == [1, 3]
        proven(ticket)
        about_dns = await acme.node.until_resolved("mx")
        assert about_dns.priorities == [3]
        await acme.balance()


async def test_a_proof_that_is_lost_makes_it_a_p1_until_it_is_found_again(tmp_path: Path) -> None:
    """Somebody empties the list of recipients in mid-outage: P3, P1 that says so, and P3 again once it is filled."""
    async with stage(tmp_path, at=NIGHT) as acme:
        await acme.goes_down()
        await acme.send(range(10))
        await acme.node.until(DOMAIN, ticket=3)

        await acme.node.relayctl("domain", "set", DOMAIN, "--recipients", "listed")
        acme.clock.leap(601)
        await acme.node.until(DOMAIN, failing_proofs=["recipients"], ticket=3)
        acme.clock.leap(61)
        shown = await acme.node.until(DOMAIN, ticket=1)
        assert (shown["continuity"], shown["ready"]) == ("active", False)

        await acme.node.relayctl("recipient", "add", DOMAIN, *(f"user{number}" for number in range(10)))
        acme.clock.leap(MINUTES)
        await acme.node.until(DOMAIN, failing_proofs=[], ticket=1)
        acme.clock.leap(61)
        await acme.node.until(DOMAIN, ticket=3, continuity="active", ready=True)
        await acme.primary.start()
        await acme.all_home()
        ticket = await acme.node.until_resolved()
        assert ticket.priorities == [1, 3, 1, 3]
        (raised,) = ticket.told("priority", to=1)
        assert "has not been proven for 1 minute" in raised and "\nfailing recipients: " in raised, raised
        proven(ticket)
        await acme.balance()
