"""A primary that comes back and refuses: somebody who doesn't exist, or, just rebuilt, everybody."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay.mail import Reply
from tests.scenarios.stage import DOMAIN, NIGHT, stage
from tests.support.desk import PATIENCE
from tests.support.primary import Answer
from tests.support.waiting import eventually

NOBODY = Reply(550, "5.1.1", "No such user")


async def test_refused_recipients_are_held_for_an_operator_and_the_others_delivered(tmp_path: Path) -> None:
    """5xx for one recipient of a message holds that one; the resolution says so, and an operator decides."""
    async with stage(tmp_path, at=NIGHT) as acme:
        await acme.goes_down()
        await acme.send(range(4), to=(f"anna@{DOMAIN}", f"typo@{DOMAIN}", f"bert@{DOMAIN}"))
        await acme.node.until(DOMAIN, ticket=3)

        def knows(address: str) -> Answer:
            return NOBODY if address.startswith("typo") else None

        acme.primary.on_rcpt = knows
        await acme.primary.start()
        ticket = await acme.node.until_resolved()
        assert f"\n{DOMAIN}: 12 accepted = 8 delivered + 4 held" in ticket.told("resolved")[0], ticket.story
        assert "4 recipients are held: 'relayctl queue list --state held' says why." in ticket.told("resolved")[0]
        assert (await acme.balance())[DOMAIN]["held"] == 4
        held = await acme.node.waiting()
        assert {(row["state"], row["reason"], row["last_reply"]) for row in held} == {
            ("held", "breaker", "550 5.1.1 No such user")
        }

        acme.clock.leap(901)  # what was refused just after the return is a failure only now
        # Nobody vouches for their sender, so that nobody is told.
        await acme.node.until_waiting(lambda rows: {row["reason"] for row in rows} == {"quarantined"})
        acme.primary.on_rcpt = None  # the customer makes the mailbox after all
        released = await acme.node.relayctl("queue", "release", "--id", str(held[0]["id"]))
        dropped = await acme.node.relayctl("queue", "drop", "--yes", "--id", str(held[1]["id"]))
        assert (released["recipients"], dropped["recipients"]) == (1, 1)
        await eventually(lambda: len(acme.primary.messages) == 5, timeout=PATIENCE)
        await acme.node.until(DOMAIN, queued=0, held=2)
        ledger = (await acme.balance())[DOMAIN]
        assert (ledger["delivered"], ledger["dropped"], ledger["held"]) == (9, 1, 2)


async def test_a_rebuilt_primary_that_knows_nobody_yet_bounces_no_one(tmp_path: Path) -> None:
    """The drain stops when people are refused who exist, and the ticket says so; later all their mail comes home."""
    async with stage(tmp_path, at=NIGHT) as acme:
        await acme.is_up()
        await acme.send(range(4))
        await acme.all_home()
        await acme.primary.stop()
        await acme.is_down()
        await acme.send(range(10, 14), to=[f"user{number}@{DOMAIN}" for number in range(4)])
        await acme.send(range(20, 50))
        await acme.node.until(DOMAIN, ticket=3)

        acme.primary.on_rcpt = NOBODY
        await acme.primary.start()
        stopped = await acme.node.until_told("the drain is stopped: ")
        assert not stopped.resolved
        assert len(acme.primary.messages) == 4

        acme.primary.on_rcpt = None
        acme.clock.leap(31)  # it is asked now and then
        await acme.all_home()
        ticket = await acme.node.until_resolved()
        assert any(told.startswith("No longer: the drain is stopped") for told in ticket.told("comment")), ticket.story
        assert (await acme.balance())[DOMAIN]["delivered"] == len(acme.sent)


async def test_a_primary_whose_content_filter_is_broken_bounces_no_one(tmp_path: Path) -> None:
    """It knows everybody, and refuses all mail at the end of the data, for longer than the window: that too is waited
    out, the ticket says so, and all of it comes home."""
    async with stage(tmp_path, at=NIGHT) as acme:
        await acme.goes_down()
        await acme.send(range(30))
        await acme.node.until(DOMAIN, ticket=3)

        acme.primary.on_content = Reply(554, "5.3.0", "Content filter failed")
        await acme.primary.start()
        stopped = await acme.node.until_told("the drain is stopped: nothing has been taken since the return")
        assert any("the last with: 554 5.3.0 Content filter failed" in told for told in stopped.told("comment"))
        acme.clock.leap(901)
        await acme.node.until_waiting(lambda rows: len(rows) == 30)
        assert {row["reason"] for row in await acme.node.waiting()} <= {"breaker", None}

        acme.primary.on_content = None
        acme.clock.leap(601)  # it is tried now and then
        await acme.all_home()
        ticket = await acme.node.until_resolved()
        assert any(told.startswith("No longer: the drain is stopped") for told in ticket.told("comment")), ticket.story
        assert (await acme.balance())[DOMAIN]["delivered"] == len(acme.sent)


@pytest.mark.parametrize("stage_of_refusal", ["on_banner", "on_helo", "on_mail"])
async def test_a_primary_that_comes_back_refusing_this_relay_is_told_in_the_ticket(
    tmp_path: Path, stage_of_refusal: str
) -> None:
    """5xx for whoever connects, or sends, is no return: the ticket says so once; taken in again, all comes home."""
    async with stage(tmp_path, at=NIGHT) as acme:
        await acme.goes_down()
        for number in range(5):
            await acme.send([number], sender=f"sender{number}@sender.example")
        await acme.node.until(DOMAIN, ticket=3)

        setattr(acme.primary, stage_of_refusal, Reply(554, "5.7.1", "Your address is listed"))
        await acme.primary.start()
        told = await acme.node.until_told("acme answers again, but refuses all mail from here: ")
        assert not told.resolved
        assert told.priorities == [1, 3]
        (words,) = (said for said in told.told("comment") if "refuses all mail" in said)
        assert "554 5.7.1 Your address is listed" in words

        setattr(acme.primary, stage_of_refusal, None)
        acme.clock.leap(601)  # what was said at MAIL is believed for ten minutes
        await acme.all_home()
        ticket = await acme.node.until_resolved()
        assert len([said for said in ticket.told("comment") if "refuses all mail" in said]) == 1, ticket.story
        assert (await acme.balance())[DOMAIN]["delivered"] == 5
