"""What answers teach, how sure it is, and what follows: every rule, as values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.appliances.facts import Health, HealthFact
from relay.appliances.model import NeverSeen
from relay.mail import Reply
from relay.recipients.learned import (
    APART,
    DAY,
    DOUBT_APART,
    DOUBTS,
    FRESH_ONCE,
    Answer,
    Known,
    decide,
    fresh,
    horizon,
    learn,
    read,
    serves,
)
from relay.recipients.verdict import Verdict

YES, NO = Answer.ACCEPTED, Answer.REJECTED
NOW = 1_000_000_000.0
EXISTS = Known(YES, NOW, NOW)
ONCE = Known(NO, NOW, NOW)
SURELY_NOT = Known(NO, NOW - DAY, NOW, 2)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply(250, "2.1.5", "Ok"), YES),
        (Reply(251, "", "User not local; will forward"), YES),
        (Reply(252, "", "Cannot verify"), YES),
        (Reply(550, "5.1.1", "User unknown"), NO),
        (Reply(550, "", "Unrouteable address"), NO),
        (Reply(553, "", "sorry, no mailbox here by that name"), NO),
        (Reply(550, "5.1.10", "RecipientNotFound"), NO),
        (Reply(550, "5.4.1", "Recipient address rejected: Access denied"), NO),
        (Reply(554, "5.1.1", "No such user"), NO),
        (Reply(450, "4.2.0", "Greylisted"), None),
        (Reply(451, "4.3.0", "Directory is loading"), None),
        (Reply(550, "5.7.1", "Client host blocked"), None),
        (Reply(554, "", "Relay access denied"), None),
        (Reply(552, "5.2.2", "Mailbox full"), None),
        (Reply(550, "5.1.8", "Sender has no domain"), None),
        (Reply(503, "5.5.1", "MAIL first"), None),
        (Reply(354, "", "Go ahead"), None),
        (Reply(999, "", "nonsense"), None),
        (None, None),
    ],
)
def test_what_a_reply_says_of_a_recipient(reply: Reply | None, expected: Answer | None) -> None:
    """Only what is about the recipient's existence says anything of it."""
    assert read(reply) is expected


def test_an_acceptance_counts_at_once_and_a_rejection_the_second_time() -> None:
    """The second one has to come a while later: a retry is no confirmation."""
    assert learn(None, YES, NOW) == EXISTS
    assert EXISTS.sure
    once = learn(None, NO, NOW)
    assert once == ONCE and not once.sure
    assert learn(once, NO, NOW + APART - 1) is once
    assert learn(once, NO, NOW + APART).sure
    assert learn(SURELY_NOT, YES, NOW + 1) == Known(YES, NOW + 1, NOW + 1)


def test_somebody_who_existed_is_gone_only_after_an_hour_of_rejections() -> None:
    """Four of them; one acceptance in between, and all doubt is gone."""
    known, at = EXISTS, NOW
    for _ in range(DOUBTS - 1):
        known, before = learn(known, NO, at), known
        assert known.answer is YES and known.doubts == before.doubts + 1
        assert learn(known, NO, at + DOUBT_APART - 1) is known
        at += DOUBT_APART
    assert learn(known, YES, at) == Known(YES, NOW, at, 2)
    gone = learn(known, NO, at)
    assert (gone.answer, gone.sure, gone.first_at) == (NO, True, NOW)


@pytest.mark.parametrize("up", [True, False])
@pytest.mark.parametrize(
    ("known", "told", "counts", "expected"),
    [
        (None, YES, True, Verdict.TAKEN),
        (EXISTS, NO, True, Verdict.UNVERIFIED),
        (EXISTS, NO, False, Verdict.TAKEN),
        (ONCE, NO, True, Verdict.UNKNOWN),
        (None, NO, False, Verdict.UNVERIFIED),
        (SURELY_NOT, NO, False, Verdict.UNKNOWN),
        (EXISTS, None, False, Verdict.TAKEN),
        (SURELY_NOT, None, False, Verdict.UNKNOWN),
    ],
)
def test_what_is_known_decides_whatever_the_rule(
    known: Known | None, told: Answer | None, counts: bool, expected: Verdict, up: bool
) -> None:
    """The table of ``decide``, but for those of whom nothing is known."""
    for rule in NeverSeen:
        assert decide(known, told, rule, counts=counts, up=up, until=NOW) is expected


@pytest.mark.parametrize("known", [None, ONCE, Known(NO, 0.0, NOW - 15 * DAY, 9), Known(YES, 0.0, NOW - 181 * DAY)])
@pytest.mark.parametrize(
    ("rule", "up", "expected"),
    [
        (NeverSeen.ACCEPT, False, Verdict.TAKEN),
        (NeverSeen.DEFER, False, Verdict.UNVERIFIED),
        (NeverSeen.REJECT, False, Verdict.UNKNOWN),
        (NeverSeen.ACCEPT, True, Verdict.TAKEN),
        (NeverSeen.DEFER, True, Verdict.UNVERIFIED),
        (NeverSeen.REJECT, True, Verdict.UNVERIFIED),
    ],
)
def test_the_rule_decides_of_the_never_seen(known: Known | None, rule: NeverSeen, up: bool, expected: Verdict) -> None:
    """Also of what is too old or not sure; while the primary is up nobody is refused for good unasked."""
    until = NOW + FRESH_ONCE
    assert decide(known, None, rule, counts=False, up=up, until=until) is expected


def test_ages_stand_still_in_an_outage() -> None:
    """However long it lasts; a primary that is up is asked about what is old."""
    later = NOW + 500 * DAY
    down = HealthFact(Health.DOWN, "silent", NOW + 60)
    assert horizon(down, later) == NOW + 60
    assert horizon(HealthFact(Health.UP, "answers", NOW), later) == later
    assert serves(EXISTS, horizon(down, later)) and not serves(EXISTS, later)
    assert fresh(EXISTS, NOW + 6 * DAY) and not fresh(EXISTS, NOW + 8 * DAY)
    assert fresh(SURELY_NOT, NOW + 3599) and not fresh(SURELY_NOT, NOW + 3600)
    assert fresh(ONCE, NOW + FRESH_ONCE - 1) and not fresh(ONCE, NOW + FRESH_ONCE)
    assert not fresh(learn(EXISTS, NO, NOW), NOW)


STEPS = st.lists(st.tuples(st.floats(0.0, 4000.0), st.sampled_from(Answer)), min_size=1, max_size=30)


@given(STEPS)
def test_whatever_comes_a_refusal_for_good_was_earned(steps: list[tuple[float, Answer]]) -> None:
    """In an outage nobody is refused who wasn't rejected twice, a while apart, with no acceptance since; nor who was
    accepted, unless rejections since have lasted for an hour."""
    known, at = None, NOW
    history: list[tuple[float, Answer]] = []
    for wait, answer in steps:
        at += wait
        history.append((at, answer))
        before, known = known, learn(known, answer, at)
        assert known.last_at >= known.first_at
        assert before is None or known.last_at >= before.last_at
        verdict = decide(known, None, NeverSeen.ACCEPT, counts=False, up=False, until=at)
        accepted = [place for place, (_, one) in enumerate(history) if one is YES]
        since = [when for when, _ in history[accepted[-1] + 1 if accepted else 0 :]]
        if verdict is Verdict.UNKNOWN:
            assert answer is NO
            assert since[-1] - since[0] >= (APART if not accepted else (DOUBTS - 1) * DOUBT_APART)
        if answer is YES:
            assert verdict is Verdict.TAKEN
            assert known.doubts == 0
