"""Who is told what of mail that failed or expired."""

from __future__ import annotations

import pytest

from relay.delivery.reports import decide
from relay.delivery.reports.vouch import Verdict, Vouching
from relay.mail import Client, wants_delay
from relay.queue.cases import Case, Concerned
from relay.queue.states import Reason, State

REFUSED = "550 5.1.1 No such user"
VOUCHED = Vouching(Verdict.VOUCHED, "SPF passes")
UNVOUCHED = Vouching(Verdict.UNVOUCHED, "SPF fails")
UNKNOWN = Vouching(Verdict.UNKNOWN, "no answer")


def case(*notify: str | None, sender: str = "ann@sender.example", asked: int = 0, reply: str = REFUSED) -> Case:
    """A message with a recipient for each that was asked."""
    people = tuple(
        Concerned(number, f"u{number}@acme.example", "acme.example", one, None, reply, "192.0.2.25", 5.0, 100.0)
        for number, one in enumerate(notify)
    )
    client = Client("192.0.2.1", 25, "sender.example")
    return Case(7, 1, sender, 0.0, "<1@sender.example>", 9, False, None, None, None, None, asked, None, client, people)


@pytest.mark.parametrize("notify", ["NEVER", "DELAY", "SUCCESS", "SUCCESS,DELAY"])
@pytest.mark.parametrize("vouching", [VOUCHED, UNVOUCHED, UNKNOWN, None])
def test_who_asked_for_no_report_of_failures_gets_none(notify: str, vouching: Vouching | None) -> None:
    """Bounced at once, whoever vouches for the sender."""
    found = decide.decide(case(notify), vouching, expired=False)
    assert [fate.state for fate in found.fates] == [State.BOUNCED]
    assert found.reported == found.later == ()
    assert not decide.needs_vouching(case(notify))


@pytest.mark.parametrize("notify", [None, "FAILURE", "SUCCESS,FAILURE,DELAY"])
def test_a_sender_who_is_vouched_for_is_told(notify: str | None) -> None:
    """Failures are reported unless something else was asked."""
    found = decide.decide(case(notify), VOUCHED, expired=False)
    assert [fate.state for fate in found.fates] == [State.BOUNCED]
    assert found.fates[0].reply == f"{REFUSED} (reported to its sender)"
    assert len(found.reported) == 1


def test_whom_nobody_vouches_for_is_not_told() -> None:
    """It is held for a person to look at, and keeps the reply as it was."""
    found = decide.decide(case(None), UNVOUCHED, expired=False)
    assert [(fate.state, fate.reason, fate.reply) for fate in found.fates] == [
        (State.HELD, Reason.QUARANTINED, REFUSED)
    ]
    assert found.reported == ()


def test_the_null_sender_is_never_answered_nor_asked_about() -> None:
    """Nobody is asked who vouches for it."""
    null = case(None, "NEVER", sender="")
    assert not decide.needs_vouching(null)
    found = decide.decide(null, decide.known(null), expired=False)
    assert [fate.state for fate in found.fates] == [State.HELD, State.BOUNCED]


def test_recipients_of_one_message_have_fates_of_their_own() -> None:
    """Some are told of, some not; those of whom that isn't known yet wait."""
    both = case(None, "NEVER")
    found = decide.decide(both, UNKNOWN, expired=False)
    assert [fate.recipient_id for fate in found.fates] == [1]
    assert [one.id for one in found.later] == [0]
    found = decide.decide(both, VOUCHED, expired=False)
    assert len(found.fates) == 2
    assert [one.id for one in found.reported] == [0]


def test_what_expired_says_so() -> None:
    """Expired instead of bounced, also where it was never tried; quarantined, it says why it was given up."""
    (fate,) = decide.decide(case(None, reply=""), VOUCHED, expired=True).fates
    assert (fate.state, fate.reply) == (State.EXPIRED, "never tried (it waited too long; reported to its sender)")
    (fate,) = decide.decide(case(None, reply="451 4.7.1 Later"), UNVOUCHED, expired=True).fates
    assert (fate.state, fate.reply) == (State.HELD, "451 4.7.1 Later (it waited too long)")


def test_a_question_without_an_answer_is_asked_again_for_three_days() -> None:
    """After a minute, two, five … then hourly; then the message is quarantined."""
    waits, asked = [], 1
    while (wait := decide.ask_again(asked)) is not None:
        waits.append(wait)
        asked += 1
    assert waits[:3] == [60.0, 120.0, 300.0]
    assert 3 * 86400 - 3600 < sum(waits) <= 3 * 86400 + 3600
    assert decide.decide(case(None, asked=asked - 2), UNKNOWN, expired=False).later
    (fate,) = decide.decide(case(None, asked=asked - 1), UNKNOWN, expired=False).fates
    assert fate.reason is Reason.QUARANTINED


def test_a_delay_is_told_only_where_that_was_asked_for() -> None:
    """Nothing said means no."""
    assert [wants_delay(notify) for notify in (None, "NEVER", "FAILURE", "DELAY", "FAILURE,DELAY")] == [
        False,
        False,
        False,
        True,
        True,
    ]
