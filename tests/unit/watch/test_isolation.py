"""Whether a node may trust what it sees."""

from __future__ import annotations

import pytest

from relay.appliances.model import Primary
from relay.watch.isolation import Census, cut_off

A, B, C, D, E = (Primary(f"{name}.test") for name in "abcde")


@pytest.mark.parametrize(
    ("failing", "answering", "watched", "reference", "expected"),
    [
        (2, 1, 3, None, True),  # more than half of three
        (2, 2, 4, None, False),  # exactly half
        (2, 0, 2, None, False),  # too few to tell
        (3, 0, 3, True, False),  # a reference host settles it
        (3, 0, 3, False, True),  # none of them answers, and nobody else does
        (1, 2, 3, False, False),  # none of them answers, but others do
        (1, 0, 1, False, False),  # too few to tell: a reference that is never there must not keep an outage quiet
    ],
)
def test_the_rule(failing: int, answering: int, watched: int, reference: bool | None, expected: bool) -> None:
    """More than half of at least three, unless a reference host answers."""
    assert cut_off(failing=failing, answering=answering, watched=watched, reference=reference) is expected


def census(answering: dict[Primary, float], failing: dict[Primary, float]) -> Census:
    found = Census()
    for primary, started in answering.items():
        found.note(primary, answers=True, started=started)
    for primary, started in failing.items():
        found.note(primary, answers=False, started=started)
    return found


def test_answers_from_before_the_failure_prove_nothing() -> None:
    """Who hasn't been probed since the failure began doesn't count as answering."""
    found = census({A: 1.0, B: 1.0, C: 1.0}, {C: 10.0})
    assert found.failing_since([C]) == 10.0
    assert found.cut_off(10.0, None)
    assert found.unasked(10.0, 2) == [A, B]
    found.note(A, answers=True, started=11.0)
    assert not found.cut_off(10.0, None)
    assert found.unasked(10.0, 2) == [B]


def test_two_old_outages_cast_no_doubt_on_a_third() -> None:
    """What is called down is left out of the count until it answers again."""
    found = census({}, {A: 1.0, B: 1.0, C: 1.0, D: 2.0})
    found.note(E, answers=True, started=3.0)
    assert found.cut_off(2.0, None)
    for primary in (A, B, C):
        found.call_down(primary)
        found.note(primary, answers=False, started=4.0)
    assert not found.cut_off(2.0, None)
    found.note(A, answers=True, started=5.0)
    found.note(A, answers=False, started=6.0)
    assert found.failing_since([A]) == 6.0


def test_the_failure_begins_with_the_first_probe_of_the_row() -> None:
    """Later failures don't move it, an answer does."""
    found = census({}, {A: 1.0})
    found.note(A, answers=False, started=2.0)
    assert found.failing_since([A]) == 1.0
    found.note(A, answers=True, started=3.0)
    found.note(A, answers=False, started=4.0)
    assert found.failing_since([A]) == 4.0


def test_what_is_no_longer_watched_is_forgotten() -> None:
    """A primary that was given up counts on neither side."""
    found = census({A: 1.0, B: 1.0}, {C: 1.0})
    found.forget(C)
    found.forget(A)
    assert found.describe() == "0 of 1 primaries"
