"""Mail that fails for good or waits too long, and the reports that its senders get: real sockets, a real DNS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from relay.appliances.facts import Health
from relay.delivery.breaker import WINDOW
from relay.mail import Reply
from relay.queue import operators
from relay.queue.filter import Filter
from relay.queue.states import Reason, State
from tests.integration.delivery.house import House, house
from tests.integration.delivery.senders import PASSES, Senders, parts, senders
from tests.support.dns_stub import DnsStub
from tests.support.obstacles import refused
from tests.support.primary import DROP, ScriptedPrimary, Taken
from tests.support.waiting import eventually

NOBODY = Reply(550, "5.1.1", "No such user")
HOUR, DAY = 3600.0, 86400.0
REFUSED = "550 5.1.1 No such user"


@asynccontextmanager
async def world(
    folder: Path, health: Health = Health.UP, **options: str
) -> AsyncIterator[tuple[Senders, ScriptedPrimary, House]]:
    """Senders, a primary that has long been up and refuses whoever begins with bad, and a house between them."""
    async with (
        senders() as away,
        ScriptedPrimary() as primary,
        house(folder, primary, health=health, resolver=away.resolver, **options) as home,
    ):
        primary.on_rcpt = lambda address: NOBODY if address.startswith("bad") else None
        if health is Health.UP:
            await home.up()
        yield away, primary, home


async def test_a_sender_who_is_vouched_for_is_told_what_failed(tmp_path: Path) -> None:
    """One report for all recipients that failed together, from the null sender, by the MX of the sender's domain."""
    async with world(tmp_path) as (away, primary, home):
        number = await home.accept(
            "good", "bad1", "bad2", content=b"Subject: hello\r\n\r\nSecret.\r\n", ret="FULL", envid="Qq+3D31"
        )
        await eventually(lambda: away.mx.messages and not home.reports())
        (taken,) = away.mx.messages
        assert (taken.sender, taken.recipients) == ("", ("sender@sender.example",))
        assert "ENVID" not in taken.mail_parameters
        assert taken.rcpt_parameters == ({"NOTIFY": "NEVER"},)
        words, message, people, original = parts(taken)
        assert "bad1@acme.example" in words
        assert message["Original-Envelope-Id"] == "Qq=31"
        assert [(one["Final-Recipient"], one["Action"], one["Status"]) for one in people] == [
            ("rfc822; bad1@acme.example", "failed", "5.1.1"),
            ("rfc822; bad2@acme.example", "failed", "5.1.1"),
        ]
        assert people[0]["Remote-MTA"] == f"dns; [{primary.host}]"
        assert people[0]["Diagnostic-Code"] == f"smtp; {REFUSED}"
        assert "Subject: hello" in original and b"Secret" not in taken.content
        assert home.traced(number) == [
            ("good", State.DELIVERED, "250 2.0.0 Taken"),
            ("bad1", State.BOUNCED, f"{REFUSED} (reported to its sender)"),
            ("bad2", State.BOUNCED, f"{REFUSED} (reported to its sender)"),
        ]
        assert (home.ledger().delivered, home.ledger().bounced) == (1, 2)
        assert home.faults() == []


async def test_whom_nobody_vouches_for_is_told_nothing(tmp_path: Path) -> None:
    """A forged sender's mail and the null sender's are quarantined, with the evidence; nothing is sent."""
    async with world(tmp_path) as (away, _, home):
        await home.accept("bad1", sender="victim@forged.example")
        await home.accept("bad2", sender="")
        await home.accept("bad3", sender="user@nowhere.forged.example")
        await eventually(lambda: len(home.addresses(State.HELD, Reason.QUARANTINED)) == 3)
        assert [row.evidence.split(";")[0] for row in home.rows() if row.evidence] == [
            "SPF of forged.example says fail for 192.0.2.1",
            "the null sender is never answered",
            "SPF of nowhere.forged.example says none for 192.0.2.1",
        ]
        assert {row.last_reply for row in home.rows()} == {REFUSED}
        assert home.reports() == [] and away.mx.connections == 0
        assert (home.ledger().held, home.faults()) == (3, [])


async def test_who_wanted_no_report_gets_none(tmp_path: Path) -> None:
    """NOTIFY=NEVER, and NOTIFY without FAILURE, bounce without a report, whoever the sender is."""
    async with world(tmp_path) as (away, _, home):
        numbers = [
            await home.accept("bad", sender=sender, notify=notify)
            for notify in ("NEVER", "DELAY", "SUCCESS,DELAY")
            for sender in ("sender@sender.example", "victim@forged.example")
        ]
        await eventually(lambda: home.ledger().bounced == 6)
        told = f"{REFUSED} (not reported: no report was wanted)"
        assert all(home.traced(number) == [("bad", State.BOUNCED, told)] for number in numbers)
        assert home.reports() == [] and away.mx.connections == 0


async def test_what_was_refused_just_after_a_return_is_reported_when_the_window_closes(tmp_path: Path) -> None:
    """Not before: until then a 5xx is provisional."""
    async with world(tmp_path, Health.DOWN) as (away, _, home):
        await home.accept("good")
        await home.accept("bad")
        await home.returns()
        await eventually(lambda: home.addresses(State.HELD, Reason.BREAKER) == ["bad"])
        assert away.mx.connections == 0
        home.clock.ahead += WINDOW
        await eventually(lambda: away.mx.messages)
        assert home.ledger().bounced == 1


async def test_mail_that_waited_too_long_expires_and_is_reported(tmp_path: Path) -> None:
    """Expired, with the last thing that was said; what nobody vouches for is quarantined, and can be released."""
    async with world(tmp_path, Health.DOWN) as (away, _, home):
        told = await home.accept("one", "two")
        await home.accept("three", sender="victim@forged.example")
        home.clock.ahead += 14 * DAY - 10
        await asyncio.sleep(1)
        assert len(home.addresses(State.QUEUED)) == 3
        home.clock.ahead += 70
        await eventually(lambda: away.mx.messages)
        _, _, people, _ = parts(away.mx.messages[0])
        assert [(one["Final-Recipient"], one["Action"], one["Status"]) for one in people] == [
            ("rfc822; one@acme.example", "failed", "4.4.7"),
            ("rfc822; two@acme.example", "failed", "4.4.7"),
        ]
        reply = "never tried (it waited too long; reported to its sender)"
        assert home.traced(told) == [("one", State.EXPIRED, reply), ("two", State.EXPIRED, reply)]
        await eventually(lambda: home.addresses(State.HELD, Reason.QUARANTINED) == ["three"])
        assert (home.ledger().expired, home.ledger().held, home.faults()) == (2, 1, [])


async def test_what_is_on_its_way_does_not_expire(tmp_path: Path) -> None:
    """A primary that takes its time to answer may have the message: nobody is told otherwise before it has answered."""
    async with world(tmp_path) as (away, primary, home):
        answers = asyncio.Event()

        async def takes_its_time(_: Taken) -> None:
            await answers.wait()

        primary.on_content = takes_its_time
        number = await home.accept()
        await eventually(lambda: "DATA" in primary.commands)
        home.clock.ahead += 15 * DAY
        await asyncio.sleep(1.5)
        assert home.addresses(State.QUEUED) == ["someone"]
        answers.set()
        await eventually(lambda: home.waiting() == 0)
        assert home.traced(number) == [("someone", State.DELIVERED, "250 2.0.0 Taken")]
        assert home.reports() == [] and away.mx.connections == 0


async def test_a_delay_is_reported_once_to_who_asked_for_it(tmp_path: Path) -> None:
    """After four hours, to senders who are vouched for; not to others, not twice, and not after the mail has left."""
    async with world(tmp_path, Health.DOWN) as (away, _, home):
        await home.accept("asked", notify="FAILURE,DELAY")
        await home.accept("silent")
        await home.accept("never", notify="NEVER")
        await home.accept("forged", notify="DELAY", sender="victim@forged.example")
        home.clock.ahead += 4 * HOUR - 30
        await asyncio.sleep(1)
        assert home.reports() == [] and away.mx.connections == 0
        home.clock.ahead += 60
        await eventually(lambda: away.mx.messages and not home.reports())
        (taken,) = away.mx.messages
        _, _, people, _ = parts(taken)
        assert [(one["Final-Recipient"], one["Action"]) for one in people] == [
            ("rfc822; asked@acme.example", "delayed")
        ]
        assert "Will-Retry-Until" in people[0]
        home.clock.ahead += HOUR
        await home.accept("left", notify="DELAY")
        await home.returns()
        await eventually(lambda: home.waiting() == 0)
        home.clock.ahead += 5 * HOUR
        await asyncio.sleep(1)
        assert len(away.mx.messages) == 1 and home.reports() == []


async def test_where_the_dns_gives_no_answer_nothing_is_decided(tmp_path: Path) -> None:
    """What can't be judged stays held as failed and is judged when the DNS answers; after some three days of asking it
    is quarantined."""
    async with world(tmp_path) as (away, _, home):
        await home.accept("bad1", sender="sender@later.example")
        await home.accept("bad2", sender="sender@never.example")
        await eventually(lambda: len([row for row in home.rows() if row.evidence]) == 2)
        assert home.addresses(State.HELD, Reason.FAILED) == ["bad1", "bad2"]
        away.names.serve({"later.example": away.zone(PASSES)})
        home.clock.ahead += 61
        await eventually(lambda: away.mx.messages)
        assert home.addresses(State.HELD, Reason.FAILED) == ["bad2"]
        await home.db.change(lambda connection: connection.exec_driver_sql("UPDATE messages SET asked = 76"))
        home.clock.ahead += 2 * HOUR
        await eventually(lambda: home.addresses(State.HELD, Reason.QUARANTINED) == ["bad2"])
        assert (home.ledger().bounced, home.ledger().held) == (1, 1)


async def test_what_stays_in_quarantine_is_dropped_after_two_weeks(tmp_path: Path) -> None:
    """Counted as dropped; what an operator released before is tried again, and judged anew if it fails anew."""
    async with world(tmp_path) as (_, primary, home):
        number = await home.accept("bad1", sender="victim@forged.example")
        await home.accept("bad2", sender="victim@forged.example")
        await eventually(lambda: home.addresses(State.HELD, Reason.QUARANTINED) == ["bad1", "bad2"])
        primary.on_rcpt = lambda address: NOBODY if address.startswith("bad1") else None
        wanted = Filter(reason=Reason.QUARANTINED)
        assert await asyncio.to_thread(operators.release, home.db, wanted, home.clock.now(), "operator") == 2
        await eventually(lambda: home.addresses(State.HELD, Reason.QUARANTINED) == ["bad1"] and home.waiting() == 1)
        assert home.ledger().delivered == 1
        home.clock.ahead += 14 * DAY - 60
        await asyncio.sleep(1)
        assert home.waiting() == 1
        home.clock.ahead += 120
        await eventually(lambda: home.waiting() == 0)
        ((_, state, reply),) = home.traced(number)
        assert (state, reply) == (
            State.DROPPED,
            f"{REFUSED} (dropped: for 14 days nobody could be told, and nobody released it)",
        )
        assert (home.ledger().dropped, home.faults()) == (1, [])


async def test_neither_the_report_nor_the_bounce_comes_without_the_other(tmp_path: Path) -> None:
    """A transaction that fails at the report leaves the recipient as it was, and the next look makes both, once."""
    async with world(tmp_path) as (away, _, home):
        with refused(home.db, "INSERT", "reports"):
            await home.accept("bad")
            await eventually(lambda: home.addresses(State.HELD, Reason.FAILED) == ["bad"])
            await asyncio.sleep(2)
            assert home.addresses(State.HELD, Reason.FAILED) == ["bad"] and home.reports() == []
        await eventually(lambda: away.mx.messages and not home.reports(), timeout=60)
        assert len(away.mx.messages) == 1
        assert (home.ledger().bounced, home.ledger().held, home.faults()) == (1, 0, [])


async def test_a_report_outlives_the_process_that_made_it(tmp_path: Path) -> None:
    """It waits in the database, and the next start sends it; once more where the last answer never came."""
    async with world(tmp_path) as (away, _, home):
        await away.mx.stop()
        await home.accept("bad")
        await eventually(lambda: home.ledger().bounced == 1 and home.reports()[0].attempts == 1)
        await home.restart_delivery()
        await away.mx.start()
        away.mx.on_content = DROP
        home.clock.ahead += 150
        await eventually(lambda: away.mx.messages and home.reports()[0].attempts == 2)
        away.mx.on_content = None
        home.clock.ahead += 400
        await eventually(lambda: not home.reports())
        assert len(away.mx.messages) == 2
        assert away.mx.messages[0].content == away.mx.messages[1].content


async def test_a_report_is_put_off_or_given_up_as_its_server_says(tmp_path: Path) -> None:
    """4xx, and where only we are left to take it: again minutes later, for five days at most. 5xx, and a null MX: given
    up. None is ever reported on."""
    async with world(tmp_path) as (away, _, home):
        away.mx.on_rcpt = lambda address: Reply(450, "4.2.1", "Later") if address.startswith("later") else NOBODY
        for sender in ("later@sender.example", "gone@sender.example", "user@silent.example", "user@ours.example"):
            await home.accept("bad", sender=sender)
        await eventually(lambda: home.ledger().bounced == 4)
        await eventually(lambda: [report.attempts for report in home.reports()] == [1, 1])
        later, ours = sorted(home.reports(), key=lambda report: report.domain, reverse=True)
        assert (later.sender, later.last_reply) == ("later@sender.example", "450 4.2.1 Later")
        assert 110 < later.next_attempt_at - home.clock.now() < 150
        assert ours.last_reply == "451 4.4.4 no MX of ours.example is strictly preferred to us: 10 relay.test"
        home.clock.ahead += 4.9 * DAY
        await eventually(lambda: {report.attempts for report in home.reports()} >= {2})
        home.clock.ahead += DAY
        await eventually(lambda: not home.reports())
        assert away.mx.messages == [] and home.waiting() == 0


async def test_a_server_that_hangs_up_is_left_in_peace(tmp_path: Path) -> None:
    """One that greets and goes away, or takes content and goes away, gets no more connections than reports."""
    async with world(tmp_path) as (away, _, home):
        away.mx.on_mail = DROP
        for _ in range(3):
            await home.accept("bad")
        await eventually(lambda: [report.attempts for report in home.reports()] == [1, 1, 1])
        assert away.mx.connections <= 6
        away.mx.on_mail = None
        away.mx.on_content = lambda taken: Reply(421, "4.3.2", "Going down")
        home.clock.ahead += 200
        await eventually(lambda: [report.attempts for report in home.reports()] == [2, 2, 2])
        assert away.mx.connections <= 12
        away.mx.on_content = None
        home.clock.ahead += 600
        await eventually(lambda: not home.reports())
        assert len(away.mx.messages) == 3


async def test_what_was_taken_and_cant_be_written_down_is_not_sent_again(tmp_path: Path) -> None:
    """As long as the database says no, the report waits for it, and not its recipient for the next copy."""
    async with world(tmp_path) as (away, _, home):
        with refused(home.db, "DELETE", "reports"):
            await home.accept("bad")
            await eventually(lambda: away.mx.messages)
            await asyncio.sleep(3)
        await eventually(lambda: not home.reports())
        assert len(away.mx.messages) == 1


async def test_reports_go_to_a_domain_over_one_connection_and_not_too_fast(tmp_path: Path) -> None:
    """Forty failures of one domain are told one after the other, the first thirty at once."""
    async with world(tmp_path) as (away, _, home):
        for number in range(40):
            await home.accept(f"bad{number}")
        await eventually(lambda: len(away.mx.messages) >= 30)
        await asyncio.sleep(1)
        assert len(away.mx.messages) < 40 and len(home.reports()) + len(away.mx.messages) >= 40
        assert away.mx.open_connections <= 1


async def test_the_senders_of_the_postmasters_mail_are_told_too(tmp_path: Path) -> None:
    """What the postmaster's own server refuses for good is judged and reported like any other mail."""
    async with world(tmp_path, postmaster="admin@sender.example") as (away, _, home):
        away.mx.on_rcpt = lambda address: NOBODY if address.startswith("admin") else None
        await home.accept_postmaster(b"Subject: to the postmaster\r\n\r\n")
        await eventually(lambda: away.mx.messages)
        _, _, people, _ = parts(away.mx.messages[0])
        assert people[0]["Final-Recipient"] == "rfc822; postmaster@relay.test"


async def test_senders_of_mail_that_waits_are_judged_while_it_waits(tmp_path: Path) -> None:
    """What was found out is kept: an SPF record that is gone when the report is due doesn't matter any more."""
    async with world(tmp_path, Health.DOWN) as (away, _, home):
        await home.accept("bad")
        await home.accept("forged", sender="victim@forged.example")
        await eventually(lambda: len([row for row in home.rows() if row.evidence]) == 2)
        away.names.serve({"sender.example": away.zone(""), "forged.example": away.zone('@ TXT "v=spf1 +all"\n')})
        home.clock.ahead += 15 * DAY
        await eventually(lambda: away.mx.messages)
        await eventually(lambda: home.addresses(State.HELD, Reason.QUARANTINED) == ["forged"])
        assert home.ledger().expired == 1


async def test_while_the_dns_is_silent_nobody_is_judged_ahead(tmp_path: Path) -> None:
    """Five senders in a row of whom nothing can be known: the others are left alone for a while."""
    async with DnsStub() as dns, house(tmp_path, resolver=dns.address) as home:
        dns.servfail = {f"s{number}.example" for number in range(9)}
        for number in range(9):
            await home.accept(sender=f"sender@s{number}.example")
        await eventually(lambda: "s4.example TXT" in dns.queries)
        await asyncio.sleep(1.2)
        assert {query for query in dns.queries if query.endswith("TXT")} == {
            f"s{number}.example TXT" for number in range(5)
        }
        assert home.addresses(State.QUEUED) == ["someone"] * 9


async def test_a_thousand_forged_senders_get_no_report_at_all(tmp_path: Path) -> None:
    """Mail in the name of a thousand people who never sent it fails, and not one of them hears of it."""
    async with world(tmp_path) as (away, _, home):
        for number in range(1000):
            await home.accept(f"bad{number}", sender=f"victim{number}@forged.example")
        await home.accept("bad", sender="sender@sender.example")
        await eventually(lambda: home.ledger().bounced + home.ledger().held == 1001 and not home.rows(State.QUEUED))
        await eventually(lambda: len(home.addresses(State.HELD, Reason.QUARANTINED)) == 1000, timeout=60)
        await eventually(lambda: away.mx.messages and not home.reports())
        assert [taken.recipients for taken in away.mx.messages] == [("sender@sender.example",)]
        assert home.faults() == []
