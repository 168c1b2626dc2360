"""What the relay finds in a customer's set-up: one P3 for each condition, closed by itself, never opened twice."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from tests.scenarios.stage import DOMAIN, NIGHT, Stage, stage
from tests.support.certificates import Certificate, certificate
from tests.support.clock import moment

DAY = 86400.0
MINUTE = 60.0


def valid_for(folder: Path, days: float, *names: str) -> Certificate:
    """A certificate that ends so long after the story began."""
    return certificate(folder, *names, days=(moment(NIGHT, "Europe/Berlin") - time.time()) / DAY + days)


async def look(acme: Stage) -> None:
    """Facts change, so that everybody looks at once."""
    await acme.node.relayctl("appliance", "set", "acme", "--customer", "Acme Ltd")


async def test_a_contract_that_ends_is_said_until_it_goes_on(tmp_path: Path) -> None:
    """30 days ahead, with what to do; a new end resolves it, and taken back within the hour it is the same ticket."""
    async with stage(tmp_path, at=NIGHT) as acme:
        await acme.node.relayctl("domain", "set", DOMAIN, "--until", "2026-12-20")
        opened = await acme.node.until_told("the contract ends with 2026-12-20", "contract")
        assert (opened.priorities, opened.facts["domains"]) == ([3], [DOMAIN])
        assert f"relayctl domain set {DOMAIN} --until" in opened.told("opened")[0]
        await acme.node.relayctl("domain", "set", DOMAIN, "--until", "2027-12-20")
        await acme.node.until_resolved("contract")
        await acme.node.relayctl("domain", "set", DOMAIN, "--until", "2026-12-21")
        ticket = await acme.node.until_told("the contract ends with 2026-12-21", "contract")
        assert ticket.events == ["opened", "resolved", "reopened"]


async def test_a_backup_that_is_old_is_said_until_one_is_recorded(tmp_path: Path) -> None:
    """None at all, then a fresh one, then one that has grown old."""
    async with stage(tmp_path, at=NIGHT, options=("--backup-every", "7d")) as acme:
        await acme.node.until_told("no backup of it is recorded", "backup")
        recorded = await acme.node.relayctl("backup", "record", "acme", "--at", "2026-11-26", "-m", "to the vault")
        await acme.node.until_resolved("backup")
        (listed,) = await acme.node.relayctl("backup", "list", DOMAIN)
        assert {**listed, **recorded} == listed
        acme.clock.leap(5 * DAY)
        await look(acme)
        await acme.node.until_told("its last backup is of 2026-11-26T00:00:00Z, and too old", "backup")
        await acme.node.relayctl("backup", "record", "acme")
        await acme.node.until_resolved("backup")
        assert [one.events for one in await acme.node.tickets("backup")] == [["opened", "resolved"]] * 2


async def test_a_quota_that_fills_is_said_until_there_is_room(tmp_path: Path) -> None:
    """At 80 % while the primary is down; the drain makes room, and nothing is lost."""
    async with stage(tmp_path, at=NIGHT) as acme:
        await acme.node.relayctl("domain", "set", DOMAIN, "--quota-messages", "10")
        await acme.goes_down()
        await acme.send(range(7))
        await look(acme)
        assert await acme.node.tickets("quota") == []
        await acme.send(range(7, 9))
        await look(acme)
        full = await acme.node.until_told("80% of the quota of messages", "quota")
        assert f"relayctl domain set {DOMAIN} --quota-messages" in full.told("opened")[0]
        await acme.primary.start()
        await acme.all_home()
        ticket = await acme.node.until_resolved("quota")
        assert (ticket.events, ticket.priorities) == (["opened", "resolved"], [3])
        await acme.node.until_resolved()
        await acme.balance()


async def test_the_certificate_of_a_primary_is_said_until_it_is_renewed(tmp_path: Path) -> None:
    """Seen by greeting it, with nothing sent; the new one resolves the ticket within the hour."""
    async with stage(tmp_path, at=NIGHT) as acme:
        acme.primary.tls = valid_for(tmp_path, 10, "mail.acme.example").context()
        await acme.is_up()
        await look(acme)
        acme.clock.leap(6 * MINUTE)
        await look(acme)
        ticket = await acme.node.until_told("shows for STARTTLS expires 2026-12-08", "certificate")
        assert acme.primary.address in ticket.told("opened")[0]
        acme.primary.tls = valid_for(tmp_path, 90, "mail.acme.example").context()
        acme.clock.leap(61 * MINUTE)
        await look(acme)
        ticket = await acme.node.until_resolved("certificate")
        assert (ticket.events, ticket.priorities) == (["opened", "resolved"], [3])
        assert (acme.primary.messages, acme.primary.violations) == ([], [])


async def test_the_relays_own_certificate_is_a_ticket_of_its_own(tmp_path: Path) -> None:
    """No customer's: of the node, once, over a restart; a renewed file and a reload resolve it."""
    old, new = (valid_for(tmp_path, days, "mx2.relay.example") for days in (10, 90))
    here = tmp_path / "here.crt", tmp_path / "here.key"
    for source, target in zip((old.certificate, old.key), here, strict=True):
        shutil.copy(source, target)
    smtp = {"tls_certificate": str(here[0]), "tls_key": str(here[1])}
    async with stage(tmp_path, at=NIGHT, settings={"smtp": {"listen": ["127.0.0.1:0"], **smtp}}) as acme:
        opened = await acme.node.until_told(f"the certificate {here[0]} expires 2026-12-08", "certificate")
        assert (opened.facts["appliance"], opened.facts["customer"], opened.priorities) == ("node one", "", [3])
        acme.node.app.reload()
        acme.clock.leap(61 * MINUTE)
        await acme.is_up()
        for source, target in zip((new.certificate, new.key), here, strict=True):
            shutil.copy(source, target)
        acme.node.app.reload()
        ticket = await acme.node.until_resolved("certificate")
        assert (ticket.events, await acme.node.tickets("certificate")) == (["opened", "resolved"], [ticket])
