"""When a drain has to stop because the primary refuses people who exist."""

from __future__ import annotations

import pytest

from relay.delivery.breaker import Breaker


def told(accepted: int, refused: int, known: int = 0) -> Breaker:
    """So many recipients accepted and refused; of the refused, ``known`` had been accepted before."""
    breaker = Breaker().answered(accepted)
    for number in range(refused):
        breaker = breaker.refuse(f"r{number}@acme.example", known=number < known)
    return breaker


@pytest.mark.parametrize(
    ("accepted", "refused", "known", "exhausted", "trips"),
    [
        (0, 0, 0, True, False),
        (100, 2, 2, True, False),
        (100, 3, 3, False, True),
        (4, 15, 0, False, False),  # not yet 20
        (4, 16, 0, False, True),
        (5, 16, 0, False, False),  # 76 %
        (5, 20, 0, False, True),
        (0, 19, 0, False, False),  # the rest of the backlog may be better
        (0, 19, 0, True, True),
        (1, 18, 0, True, False),
        (0, 1, 0, True, True),
        (0, 20, 0, False, True),
    ],
)
def test_trips(accepted: int, refused: int, known: int, exhausted: bool, trips: bool) -> None:
    """Three known recipients, or 80 % of at least 20; all, where the backlog is smaller."""
    assert (told(accepted, refused, known).trip(exhausted=exhausted) is not None) is trips


def test_the_same_recipient_counts_once_as_known() -> None:
    """One mailbox that is gone, with three messages for it, is no reason to stop."""
    breaker = Breaker().answered(50)
    for _ in range(3):
        breaker = breaker.refuse("gone@acme.example", known=True)
    assert breaker.trip(exhausted=False) is None


def test_a_trip_says_why_and_whom_to_ask_about() -> None:
    """The ticket names the known; where there are none, the last who were refused are asked about."""
    known = told(10, 4, 3).trip(exhausted=False)
    assert known is not None
    assert known.known
    assert known.addresses == ("r0@acme.example", "r1@acme.example", "r2@acme.example")
    assert "r1@acme.example" in known.reason
    share = told(0, 30).trip(exhausted=False)
    assert share is not None
    assert not share.known
    assert share.reason == "30 of 30 recipients are refused"
    assert share.addresses == tuple(f"r{number}@acme.example" for number in range(10, 30))
