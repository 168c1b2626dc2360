"""What a primary says of recipients while it is up is known when it is down."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from relay.mail import Reply
from relay.recipients import learning
from relay.recipients.budget import FULL
from relay.recipients.learned import FRESH_ONCE
from tests.integration.recipients.school import DOMAIN, NOBODY, PEOPLE, school
from tests.support.clock import StagedClock
from tests.support.node import running
from tests.support.primary import HANG, ScriptedPrimary
from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("engine")

TAKEN, NO, LATER = "250 2.1.5", "550 5.1.1", "450 4.1.1"


@pytest.mark.parametrize(("never_seen", "reply"), [("accept", TAKEN), ("defer", LATER), ("reject", NO)])
async def test_what_was_learned_lives_on_through_the_outage(never_seen: str, reply: str, tmp_path: Path) -> None:
    """Who exists is taken and who doesn't is refused; for all others, also who was refused once, the rule decides."""
    async with school(tmp_path, never_seen=never_seen) as it:
        it.settle()
        assert await it.rcpt_all("ann", "nobody", "once") == [TAKEN, NO, NO]
        assert await it.rcpt_all("ann", "nobody", "Postmaster") == [TAKEN, NO, TAKEN]
        assert (it.asked("ann"), it.asked("nobody")) == (1, 1), "the second time from memory"
        it.clock.leap(FRESH_ONCE + 1)
        assert await it.rcpt("nobody") == NO
        assert it.asked("nobody") == 2
        await it.down()
        assert await it.rcpt_all("ANN", "nobody", "once", "stranger", "postmaster") == [TAKEN, NO, reply, reply, TAKEN]
        known = await it.until_known("ann", "nobody", "once")
        assert [(known[name]["answer"], known[name]["sure"]) for name in ("ann", "nobody", "once")] == [
            ("accepted", True),
            ("rejected", True),
            ("rejected", False),
        ]
        it.clock.leap(300 * 86400)
        assert await it.rcpt_all("ann", "nobody") == [TAKEN, NO], "in an outage nothing grows older"


async def test_a_primary_that_refuses_everybody_teaches_nothing(tmp_path: Path) -> None:
    """Just after a return, and as long as nobody is accepted: who is known is taken, who isn't is put off."""
    async with school(tmp_path, never_seen="reject") as it:
        it.settle()
        assert await it.rcpt_all("ann", "nobody") == [TAKEN, NO]
        await it.down()
        it.people = ()
        await it.primary.start()
        await it.node.until(DOMAIN, health="up")
        await eventually(lambda: it.node.app.learning._proven_up(it.node.app.directory.snapshot.domains[DOMAIN]))
        assert await it.rcpt_all("ann", "bob", "nobody") == [TAKEN, LATER, NO]
        it.settle()
        assert await it.rcpt_all("ann", "bob") == [TAKEN, LATER]
        assert it.asked("ann") > 1, "a witness was asked for"
        known = await it.until_known("ann", "nobody")
        assert set(known) == {"ann", "nobody"}
        assert (known["ann"]["answer"], known["ann"]["doubts"]) == ("accepted", 0)


async def test_greylisting_is_no_rejection(tmp_path: Path) -> None:
    """A 4xx says nothing of who exists; the next time it is asked again."""
    async with school(tmp_path, never_seen="defer") as it:
        it.settle()
        it.primary.on_rcpt = Reply(450, "4.2.0", "Greylisted")
        assert await it.rcpt("bob") == LATER
        assert await it.known() == {}
        it.primary.on_rcpt = lambda address: None if address.startswith(PEOPLE) else NOBODY
        assert await it.rcpt("bob") == TAKEN
        assert it.asked("bob") == 2


async def test_a_refusal_about_us_is_no_rejection(tmp_path: Path) -> None:
    """Our address on somebody's block list makes nobody unknown."""
    async with school(tmp_path) as it:
        it.settle()
        it.primary.on_rcpt = Reply(554, "5.7.1", "Service unavailable; client host blocked")
        assert await it.rcpt_all("ann", "bob") == [TAKEN, TAKEN]
        assert await it.known() == {}


async def test_a_primary_that_hangs_holds_up_nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One recipient waits for a bounded time, those behind it and those of other domains not at all."""
    monkeypatch.setattr(learning, "WITHIN", 1.5)
    async with school(tmp_path, never_seen="defer") as it, ScriptedPrimary() as other:
        await it.node.relayctl("domain", "add", "other.example", "--primary", other.address, "--recipients", "learned")
        await it.node.until("other.example", health="up")
        it.settle()
        it.primary.on_rcpt = HANG
        waiting = asyncio.create_task(it.rcpt("ann"))
        await eventually(lambda: it.asked("ann") == 1)
        assert await it.rcpt("eve", domain="other.example") == TAKEN
        assert not waiting.done()
        assert await waiting == LATER
        assert await it.rcpt_all("bob", "eve") == [LATER, LATER]
        assert it.asked("bob") == 0, "after a silence it isn't asked for a while"


async def test_a_pipelining_client_gets_its_earlier_replies_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the reply to the recipient who is asked about has to wait."""
    monkeypatch.setattr(learning, "WITHIN", 1.5)
    async with school(tmp_path) as it:
        it.primary.on_rcpt = HANG
        reader, writer = await asyncio.open_connection(*it.node.address)
        writer.write(b"EHLO client.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<ann@acme.example>\r\n")
        async with asyncio.timeout(1):
            while not (await reader.readline()).startswith(b"250 2.1.0"):
                pass
        writer.transport.abort()


async def test_a_dictionary_attack_is_not_handed_on(tmp_path: Path) -> None:
    """The primary is asked about a few of many, and hardly anything of them is kept."""
    async with school(tmp_path) as it:
        it.settle()
        assert await it.rcpt("ann") == TAKEN
        names = [f"guess{number}" for number in range(400)]
        replies = [reply for start in range(0, 400, 10) for reply in await it.rcpt_all(*names[start : start + 10])]
        assert set(replies) == {TAKEN, NO}
        assert it.asked() < FULL
        assert replies.count(NO) < FULL
        assert await it.rcpt("ann") == TAKEN


async def test_what_is_old_is_asked_about_again(tmp_path: Path) -> None:
    """In the background, while the primary is up; that somebody has left isn't believed at once."""
    async with school(tmp_path) as it:
        it.settle()
        assert await it.rcpt_all("ann", "bob") == [TAKEN, TAKEN]
        it.people = ("ann", "postmaster")
        it.clock.leap(86400 + 600)
        await eventually(lambda: it.asked("ann") == 2)
        it.clock.leap(learning.REFRESH_EVERY)
        await eventually(lambda: it.asked("bob") == 2)

        async def doubted() -> bool:
            return bool((await it.known())["bob"]["doubts"])

        await eventually(doubted)
        assert (await it.known())["ann"]["confirmations"] == 2
        await it.down()
        assert await it.rcpt_all("ann", "bob") == [TAKEN, TAKEN]


async def test_deliveries_teach_too(tmp_path: Path) -> None:
    """Who was never seen before the outage, and whose mail the primary then took, exists."""
    async with school(tmp_path) as it:
        await it.down()

        def send() -> None:
            import smtplib

            with smtplib.SMTP(*it.node.address, timeout=60) as client:
                client.sendmail(
                    "sender@client.example", [f"bob@{DOMAIN}", f"nobody@{DOMAIN}"], "Subject: x\r\n\r\nx\r\n"
                )

        await asyncio.to_thread(send)
        await it.primary.start()
        known = await it.until_known("bob")
        assert set(known) == {"bob"}, "what is refused after a return is provisional"


async def test_a_restart_forgets_nothing_and_an_operator_may(tmp_path: Path) -> None:
    """What was learned is there again, in an outage too; what is forgotten is unknown at once."""
    clock = StagedClock.at("2026-11-28 20:00")
    async with school(tmp_path, never_seen="reject", clock=clock) as it:
        it.settle()
        assert await it.rcpt_all("ann", "bob") == [TAKEN, TAKEN]
        await it.down()
    async with running(tmp_path, clock=clock) as node:
        it.node = node
        assert await it.rcpt_all("ann", "bob", "eve") == [TAKEN, TAKEN, NO]
        assert await node.relayctl("recipient", "forget", DOMAIN, "Ann") == {"forgotten": 1, "dry_run": False}

        async def forgotten() -> bool:
            return await it.rcpt("ann") == NO

        await eventually(forgotten)
        assert await it.rcpt("bob") == TAKEN
        assert await node.relayctl("recipient", "forget", DOMAIN) == {"forgotten": 1, "dry_run": False}
        assert await it.known() == {}


async def test_a_wildcard_is_noticed_and_said(tmp_path: Path) -> None:
    """A P3 as long as the primary accepts who can't exist; all are taken meanwhile, also in an outage."""
    async with school(tmp_path, never_seen="reject", people=None) as it:
        ticket = await it.node.until_told("accepts any address", "recipients")
        assert (ticket.facts["priority"], ticket.facts["domains"]) == (3, [DOMAIN])
        assert (await it.node.relayctl("domain", "show", DOMAIN))["accepts_all"] is True
        assert any("accepts any" in one["evidence"] for one in (await it.node.status(DOMAIN))["findings"])
        await it.down()
        assert await it.rcpt("whoever") == TAKEN
        assert await it.known() == {}
        it.people = PEOPLE
        await it.primary.start()
        await it.node.until(DOMAIN, health="up")
        it.clock.leap(86401)
        await it.rcpt("ann")  # and somebody is learned, so that the policy can be carried out
        await it.node.until_resolved("recipients")
        assert (await it.node.relayctl("domain", "show", DOMAIN))["accepts_all"] is False
