"""What an answer means for its recipient."""

from __future__ import annotations

import dataclasses

import pytest

from relay.delivery.outcome import MINUTES, POISON, Circumstances, broken_down, decide, retry_after
from relay.mail import Recipient, Reply
from relay.queue.states import Reason, State
from relay.smtp.failure import Stage
from relay.smtp.transaction import Answer

NOW = 1_000_000.0
FIRST = Circumstances(attempts=0, provisional=False, others=False, only_us=True, chance=0.0)


def answer(code: int, stage: Stage = Stage.END_OF_DATA, *, local: bool = False, unknown: bool = False) -> Answer:
    return Answer(Recipient("someone@acme.example"), Reply(code, "", "words"), stage, local, unknown)


def test_a_positive_answer_to_the_dot_is_delivered() -> None:
    """2xx, with the primary's own words."""
    outcome = decide(answer(250), 7, 8, FIRST, NOW)
    assert (outcome.message_id, outcome.recipient_id, outcome.state, outcome.at) == (7, 8, State.DELIVERED, NOW)
    assert outcome.reply == Reply(250, "", "words")


@pytest.mark.parametrize(
    ("given", "changes", "state", "reason", "wait"),
    [
        (answer(450, Stage.RCPT), {}, State.QUEUED, None, 60),
        (answer(450, Stage.RCPT), {"attempts": 1}, State.QUEUED, None, 120),
        (answer(452), {"attempts": 2}, State.QUEUED, None, 300),
        (answer(450), {"attempts": 100}, State.QUEUED, None, 1800),
        (answer(550, Stage.RCPT), {}, State.HELD, Reason.FAILED, None),
        (answer(550, Stage.RCPT), {"provisional": True}, State.HELD, Reason.BREAKER, None),
        (answer(554, Stage.DATA), {}, State.HELD, Reason.FAILED, None),
        (answer(554), {"provisional": True}, State.HELD, Reason.BREAKER, None),
        # A code without a meaning is temporary.
        (answer(199), {}, State.QUEUED, None, 60),
        (answer(654), {}, State.QUEUED, None, 60),
        # Sent away, or cut off: nothing was said about the message.
        (answer(421, Stage.RCPT), {}, State.QUEUED, None, 2),
        (answer(451, Stage.MAIL, local=True), {}, State.QUEUED, None, 2),
        (answer(451, local=True, unknown=True), {"attempts": 3}, State.QUEUED, None, 16),
        # Our own no: the primary can't take such a message.
        (answer(552, Stage.MAIL, local=True), {}, State.HELD, Reason.FAILED, None),
        # 5xx to MAIL is about the sender only once it can't be about us.
        (answer(554, Stage.MAIL), {}, State.QUEUED, None, 60),
        (answer(554, Stage.MAIL), {"attempts": 1, "only_us": False}, State.HELD, Reason.FAILED, None),
        # Too many recipients (RFC 5321 4.5.3.1.10): the others first, these in a moment.
        (answer(452, Stage.RCPT), {"others": True}, State.QUEUED, None, 2),
        (answer(552, Stage.RCPT), {"others": True}, State.QUEUED, None, 2),
        (answer(552, Stage.RCPT), {}, State.HELD, Reason.FAILED, None),
        (answer(550, Stage.RCPT), {"others": True}, State.HELD, Reason.FAILED, None),
    ],
)
def test_what_an_answer_leads_to(
    given: Answer, changes: dict[str, object], state: State, reason: Reason | None, wait: float | None
) -> None:
    """Each kind of answer, the state it leads to, and the seconds until the next attempt."""
    outcome = decide(given, 7, 8, dataclasses.replace(FIRST, **changes), NOW)  # type: ignore[arg-type]
    assert (outcome.state, outcome.reason) == (state, reason)
    assert outcome.next_attempt_at == (None if wait is None else NOW + wait)
    assert outcome.unknown is given.unknown


@pytest.mark.parametrize("broken", [False, True])
def test_waits_grow_to_half_an_hour_and_are_spread(broken: bool) -> None:
    """Each wait is at least as long as the one before; chance makes it longer by a fifth at most."""
    waits = [retry_after(attempts, 0.0, broken=broken) for attempts in range(40)]
    assert waits == sorted(waits)
    assert waits[-1] == MINUTES[-1] * 60 == 1800
    assert retry_after(0, 0.999, broken=broken) <= 1.2 * waits[0]
    assert retry_after(0, 0.5, broken=broken) == pytest.approx(1.1 * waits[0])


def test_a_message_that_breaks_us_down_is_held_the_third_time() -> None:
    """Twice it is tried again, then it is held as poison."""
    assert [broken_down(7, 8, times, 0.0, NOW).state for times in (1, 2)] == [State.QUEUED, State.QUEUED]
    held = broken_down(7, 8, POISON, 0.0, NOW)
    assert (held.state, held.reason) == (State.HELD, Reason.POISON)
