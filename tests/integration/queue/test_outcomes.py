"""Recording what became of mail."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from relay.mail import Reply
from relay.queue.filter import Filter
from relay.queue.operators import drop, hold, select_rows
from relay.queue.states import Reason, State
from relay.queue.trace import trace
from tests.integration.queue.material import LATER, NO, NOW, OK, House, house, outcomes

pytestmark = pytest.mark.usefixtures("engine")


async def test_a_delivered_message_leaves_with_its_content(tmp_path: Path) -> None:
    """When the last recipient is delivered, rows and content go, and the trace row stays."""
    async with house(tmp_path) as home:
        (number,) = await home.accept("a@acme.example", "b@acme.example")
        await home.queue.record(outcomes(await home.due()))
        assert await home.due() == []
        assert [home.rows(table) for table in ("messages", "recipients", "content", "trace")] == [0, 0, 0, 1]
        (traced,) = trace(home.db, id=number)
        assert traced.removed_at is not None
        assert [(one.address, one.state, one.reply) for one in traced.recipients] == [
            ("a@acme.example", State.DELIVERED, "250 2.0.0 queued as 4711"),
            ("b@acme.example", State.DELIVERED, "250 2.0.0 queued as 4711"),
        ]
        assert home.ledger().delivered == 2
        assert home.problems() == []


async def test_content_stays_until_the_last_appliance_has_it(tmp_path: Path) -> None:
    """Two messages share a content; delivering one leaves the other readable."""
    async with house(tmp_path) as home:
        await home.accept("user@acme.example", "user@bolt.example")
        await home.queue.record(outcomes(await home.due(home.acme)))
        (rest,) = await home.due(home.bolt)
        assert await home.queue.content(rest.id)
        await home.queue.record(outcomes([rest]))
        assert home.rows("content") == 0


async def test_recording_twice_counts_once(tmp_path: Path) -> None:
    """The same outcomes again, in one call, at once or later, change neither the ledger nor the attempts: an attempt is
    known by its moment, to the last digit."""
    async with house(tmp_path) as home:
        await home.accept("a@acme.example", "b@acme.example")
        (message,) = await home.due()
        first, second = outcomes([message])
        (deferred,) = outcomes([message], State.QUEUED, LATER, at=NOW + 1 / 3, next_attempt_at=NOW + 60)[1:]
        await asyncio.gather(*(home.queue.record([first, first, deferred, deferred]) for _ in range(3)))
        await home.queue.record([deferred])
        ledger = home.ledger()
        assert (ledger.accepted, ledger.delivered, ledger.queued) == (2, 1, 1)
        (row,) = [row for row in select_rows(home.db, Filter(), NOW) if row.state is State.QUEUED]
        assert row.attempts == 1
        await home.queue.record([second])
        await home.queue.record([first, second, deferred])
        assert home.ledger().delivered == 2
        assert home.problems() == []


async def test_a_deferral_waits_for_its_time(tmp_path: Path) -> None:
    """A recipient deferred until 60 s from now is due then and not before, with one more attempt behind it."""
    async with house(tmp_path) as home:
        await home.accept()
        await home.queue.record(outcomes(await home.due(), State.QUEUED, LATER, next_attempt_at=NOW + 60))
        assert await home.due(now=NOW + 59) == []
        (message,) = await home.due(now=NOW + 60)
        assert message.attempts == 1
        waiting = await home.queue.waiting(home.acme)
        assert (waiting.queued, waiting.next_attempt_at, waiting.undeferred_since) == (1, NOW + 60, None)
        assert waiting.oldest_received_at == NOW


async def test_a_clock_that_was_set_back_does_not_make_us_deaf(tmp_path: Path) -> None:
    """After a restart with an earlier time a deferral is recorded like any other, and its retry time holds."""
    async with house(tmp_path) as home:
        await home.accept()
        mail = await home.due()
        await home.queue.record(outcomes(mail, State.QUEUED, LATER, at=NOW + 86400))
        await home.queue.record(outcomes(mail, State.QUEUED, LATER, at=NOW, next_attempt_at=NOW + 60))
        assert await home.due() == []
        (message,) = await home.due(now=NOW + 60)
        assert message.attempts == 2


async def test_only_the_recipients_that_are_due_are_handed_out(tmp_path: Path) -> None:
    """One delivered, one deferred, one held: the fourth is handed out alone."""
    async with house(tmp_path) as home:
        await home.accept(*(f"{name}@acme.example" for name in "abcd"))
        (message,) = await home.due()
        a, b, c, _ = (
            outcomes([message])[0],
            outcomes([message], State.QUEUED, LATER, next_attempt_at=NOW + 60)[1],
            outcomes([message], State.HELD, NO, reason=Reason.FAILED)[2],
            None,
        )
        await home.queue.record([a, b, c])
        (message,) = await home.due()
        assert [recipient.address for recipient in message.recipients] == ["d@acme.example"]
        ledger = home.ledger()
        assert (ledger.delivered, ledger.queued, ledger.held) == (1, 2, 1)
        assert home.problems() == []


async def test_what_was_delivered_is_recorded_though_an_operator_held_it_meanwhile(tmp_path: Path) -> None:
    """What has happened isn't undone by a decision: held in flight and delivered is delivered, not sent again."""
    async with house(tmp_path) as home:
        await home.accept("a@acme.example", "b@acme.example")
        (message,) = await home.due()
        hold(home.db, Filter(), NOW, "ann")
        await home.queue.record(outcomes([message])[:1])
        await home.queue.record(outcomes([message], State.QUEUED, LATER, next_attempt_at=NOW + 5)[1:])
        ledger = home.ledger()
        assert (ledger.delivered, ledger.held, ledger.queued) == (1, 1, 0)
        assert home.problems() == []


async def test_what_was_dropped_in_flight_stays_dropped(tmp_path: Path) -> None:
    """An outcome that comes after an operator's drop finds nothing to change."""
    async with house(tmp_path) as home:
        await home.accept()
        mail = await home.due()
        drop(home.db, Filter(), NOW, "ann")
        await home.queue.record(outcomes(mail))
        assert (home.ledger().dropped, home.ledger().delivered) == (1, 0)
        assert home.problems() == []


async def test_a_reply_may_hold_anything(tmp_path: Path) -> None:
    """NUL, undecodable bytes and quotes in a primary's reply harm nobody."""
    async with house(tmp_path) as home:
        await home.accept()
        odd = Reply(451, "", 'say "no"\0 \udcff\u2028 {}[] $[0] it\'s')
        await home.queue.record(outcomes(await home.due(), State.QUEUED, odd, next_attempt_at=NOW + 5))
        (row,) = select_rows(home.db, Filter(), NOW)
        assert row.last_reply == '451 say "no" ?\u2028 {}[] $[0] it\'s'
        await home.queue.record(
            outcomes(await home.due(now=NOW + 5), State.HELD, odd, at=NOW + 5, reason=Reason.FAILED)
        )
        drop(home.db, Filter(), NOW, "ann")
        assert trace(home.db, sender="ann@elsewhere.example")[0].recipients[0].reply == "dropped by ann"


async def test_an_unknown_outcome_says_so(tmp_path: Path) -> None:
    """A lost reply to the final dot is visible to an operator: a duplicate is possible."""
    async with house(tmp_path) as home:
        await home.accept()
        (outcome,) = outcomes(await home.due(), State.QUEUED, Reply(451, "4.4.2", "connection lost"))
        outcome = type(outcome)(
            outcome.message_id, outcome.recipient_id, State.QUEUED, outcome.reply, NOW, unknown=True
        )
        await home.queue.record([outcome])
        (row,) = select_rows(home.db, Filter(), NOW)
        assert row.last_reply == "451 4.4.2 connection lost (outcome unknown)"


async def test_a_thousand_outcomes_in_one_call(tmp_path: Path) -> None:
    """A whole page is recorded in one commit, in whatever order it comes."""
    async with house(tmp_path) as home:
        await asyncio.gather(*(home.accept(*(f"u{n}@acme.example" for n in range(10))) for _ in range(100)))
        everything = outcomes(await home.due())
        await home.queue.record(everything[::-1])
        assert _counts(home) == (1000, 1000, 0)
        assert home.rows("trace") == 100
        assert home.problems() == []


def _counts(home: House) -> tuple[int, int, int]:
    ledger = home.ledger()
    return ledger.accepted, ledger.delivered, ledger.queued


async def test_outcomes_and_new_mail_share_a_commit(tmp_path: Path) -> None:
    """Accepting and recording at the same time, over and over, keeps the sums right."""
    async with house(tmp_path) as home:
        for _ in range(5):
            await asyncio.gather(
                *(home.accept() for _ in range(20)), home.queue.record(outcomes(await home.due(), reply=OK))
            )
        assert _counts(home) == (100, 80, 20)
        assert home.problems() == []
