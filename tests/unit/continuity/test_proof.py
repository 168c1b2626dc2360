"""How long evidence serves, and when it is gathered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.appliances.facts import Health, HealthFact
from relay.continuity.proof import Proof, judge
from relay.continuity.schedule import DOWN_EVERY, FAILING_EVERY, QUIET_EVERY, next_round
from relay.settings import PROOFS
from tests.unit.continuity.outages import NIGHT, down, proofs, up


def test_what_holds_serves_fifteen_minutes() -> None:
    """Up to then all is proven, and the judgement says until when; after it each proof fails for its age."""
    fresh = judge(proofs(NIGHT), (), NIGHT + 899)
    assert (fresh.proven, fresh.until) == (True, NIGHT + 900)
    stale = judge(proofs(NIGHT), (), NIGHT + 900)
    assert stale.failing_names == ("loop", "space", "expiry", "recipients", "tls")
    assert "the evidence is older than 15 minutes: evidence of loop" in stale.failing_lines()[0]


def test_what_was_never_tried_is_pending() -> None:
    """It allows nothing, and accuses nobody."""
    judged = judge((), ("tls",), NIGHT)
    assert (judged.proven, judged.failing, judged.skipped) == (False, (), ("tls",))
    assert judged.failing_lines() == ("no result yet: dns, loop, space, expiry, recipients",)


def test_a_wrong_answer_of_the_dns_is_not_served_by_a_good_one_before() -> None:
    """The last good answer serves where there is none, not where there is another."""
    wrong = Proof("dns", False, "the MX set doesn't list this relay", NIGHT, NIGHT - 60)
    assert judge((wrong,), PROOFS[1:], NIGHT + 1).failing_names == ("dns",)


def test_evidence_from_before_counts_as_not_tried() -> None:
    """But for a good answer of the DNS."""
    judged = judge(proofs(NIGHT - 1), (), NIGHT + 1, since=NIGHT)
    assert (judged.failing, judged.pending) == ((), PROOFS[1:])
    judged = judge(proofs(NIGHT - 1, failing=("dns",)), (), NIGHT + 1, since=NIGHT)
    assert (judged.failing, judged.pending) == ((), PROOFS)


def test_a_round_is_due_at_once_when_the_appliance_leaves_up() -> None:
    """What was proven a minute before counts for quiet times alone."""
    assert next_round(1, down(NIGHT), proofs(NIGHT - 60), (), NIGHT + 6) == NIGHT + 6
    delayed = HealthFact(Health.DELAYED, "slow", NIGHT)
    assert next_round(1, delayed, proofs(NIGHT - 60), (), NIGHT + 6) == NIGHT + 6


def test_while_it_is_down_rounds_follow_each_other() -> None:
    """Every ten minutes, and sooner while something fails."""
    assert next_round(1, down(NIGHT), proofs(NIGHT + 5), (), NIGHT + 6) == NIGHT + 5 + DOWN_EVERY
    failing = proofs(NIGHT + 5, failing=("dns",))
    assert next_round(1, down(NIGHT), failing, (), NIGHT + 6) == NIGHT + 5 + FAILING_EVERY


@given(number=st.integers(1, 100_000), last=st.floats(1e9, 2e9))
def test_in_quiet_times_each_appliance_has_its_minute_of_the_hour(number: int, last: float) -> None:
    """The next round is within the hour, and the rounds after it an hour apart."""
    first = next_round(number, up(0), proofs(last), (), last)
    assert first is not None
    assert last < first <= last + QUIET_EVERY
    second = next_round(number, up(0), proofs(first), (), first)
    assert second == pytest.approx(first + QUIET_EVERY, abs=1e-3)


def test_thousands_of_appliances_are_spread_over_the_hour() -> None:
    """No minute of the hour has more than its share twice over."""
    minutes = [0] * 60
    for number in range(1, 3001):
        due = next_round(number, up(0), proofs(NIGHT), (), NIGHT)
        assert due is not None
        minutes[int(due % 3600 // 60)] += 1
    assert max(minutes) <= 100


def test_what_was_never_tried_or_is_all_skipped() -> None:
    """A new proof is tried at once; where all are skipped there is nothing to try."""
    assert next_round(1, up(0), proofs(NIGHT, pending=("tls",)), (), NIGHT + 5) == NIGHT + 5
    assert next_round(1, up(0), proofs(NIGHT, pending=("tls",)), ("tls",), NIGHT + 5) != NIGHT + 5
    assert next_round(1, up(0), (), PROOFS, NIGHT) is None
