"""What was decided about failures is carried out as a whole, once, and only where it still holds."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from relay.queue import operators, reports
from relay.queue.filter import Filter
from relay.queue.states import Reason, State
from relay.queue.trace import trace
from tests.integration.queue.material import CONTENT, NO, NOW, OK, RECEIVED, House, house, outcomes, settlement

pytestmark = pytest.mark.usefixtures("engine")

DAY = 86400.0


async def _failed(home: House, *addresses: str) -> None:
    await home.accept(*addresses)
    await home.queue.record(outcomes(await home.due(), State.HELD, NO, reason=Reason.FAILED))


def _reports(home: House) -> list[reports.Report]:
    with home.db.read() as connection:
        return reports.waiting(connection, 100)


async def test_of_two_who_decide_at_the_same_time_one_does(tmp_path: Path) -> None:
    """One report, one bounce for each recipient, and the ledger counts them once."""
    async with house(tmp_path) as home:
        await _failed(home, "a@acme.example", "b@acme.example")
        (case,) = await home.failed()
        assert [(one.address, one.reply) for one in case.recipients] == [
            ("a@acme.example", str(NO)),
            ("b@acme.example", str(NO)),
        ]
        decided = settlement(case, State.BOUNCED, report=b"a report")
        done = await asyncio.gather(*(home.queue.failures.settle(decided, NOW) for _ in range(5)))
        assert sorted(done) == [False] * 4 + [True]
        (report,) = _reports(home)
        assert (report.sender, report.about) == ("ann@elsewhere.example", ("a@acme.example", "b@acme.example"))
        assert await home.queue.reports.content(report.id) == b"a report"
        assert (home.ledger().bounced, home.ledger().held) == (2, 0)
        assert [home.rows(table) for table in ("messages", "content")] == [0, 0]
        assert {one.reply for one in trace(home.db)[0].recipients} == {f"{NO} (judged)"}
        assert home.problems() == []


async def test_what_an_operator_released_meanwhile_is_not_bounced(tmp_path: Path) -> None:
    """Nothing is done about the other recipients either: the next look decides again."""
    async with house(tmp_path) as home:
        await _failed(home, "a@acme.example", "b@acme.example")
        (case,) = await home.failed()
        operators.release(home.db, Filter(recipient="a@acme.example"), NOW, "ann")
        assert not await home.queue.failures.settle(settlement(case, State.BOUNCED, report=b"a report"), NOW)
        assert _reports(home) == []
        assert (home.ledger().queued, home.ledger().held, home.ledger().bounced) == (1, 1, 0)


async def test_what_was_delivered_meanwhile_does_not_expire(tmp_path: Path) -> None:
    """A recipient that has left needs no report; the one that stays is decided on its own."""
    async with house(tmp_path) as home:
        await home.accept("a@acme.example", "b@acme.example", received_at=NOW - 20 * DAY)
        (case,) = await home.overdue()
        (message,) = await home.due()
        await home.queue.record(outcomes([message], State.DELIVERED, OK)[:1])
        decided = settlement(case, State.EXPIRED, expired=True, report=b"a report")
        assert not await home.queue.failures.settle(decided, NOW)
        assert not await home.queue.failures.warn(case, None, NOW)
        (case,) = await home.overdue()
        assert [one.address for one in case.recipients] == ["b@acme.example"]


async def test_content_is_read_in_pieces_by_any_thread(tmp_path: Path) -> None:
    """Byte for byte what came, our Received line on top."""
    async with house(tmp_path) as home:
        large = CONTENT + b"0123456789abcde\r\n" * 50_000
        (number,) = await home.accept(content=large)
        pieces = await asyncio.to_thread(lambda: list(home.queue.failures.pieces(number)))
        assert len(pieces) > 2 and b"".join(pieces) == RECEIVED + large


async def test_what_nobody_can_judge_now_is_left_for_later(tmp_path: Path) -> None:
    """Until then it isn't read again; a verdict is kept with the message."""
    async with house(tmp_path) as home:
        await _failed(home, "a@acme.example")
        (case,) = await home.failed()
        await home.queue.failures.ask_again(case.id, "no answer", NOW + 60)
        assert await home.failed(now=NOW + 59) == []
        (case,) = await home.failed(now=NOW + 60)
        assert (case.asked, case.evidence, case.verdict) == (1, "no answer", None)
        await home.queue.failures.keep_verdicts([(case.id, "vouched", "SPF passes")])
        (case,) = await home.failed(now=NOW + 60)
        assert (case.verdict, case.evidence) == ("vouched", "SPF passes")


async def test_those_who_wait_unjudged_are_found_in_pages(tmp_path: Path) -> None:
    """Oldest first, without the null sender, and none whose verdict is known."""
    async with house(tmp_path) as home:
        numbers = [
            (await home.accept(sender=sender))[0] for sender in ("a@x.example", "", "b@x.example", "c@x.example")
        ]
        await home.queue.failures.keep_verdicts([(numbers[2], "unvouched", "SPF fails")])
        cases, last = await home.queue.failures.unjudged(home.acme, after=0, limit=3)
        assert ([case.id for case in cases], last) == ([numbers[0]], numbers[2])
        cases, last = await home.queue.failures.unjudged(home.acme, after=numbers[2], limit=3)
        assert ([case.id for case in cases], last) == ([numbers[3]], None)
