"""When a drain has to stop because the primary refuses people who exist, or everything."""

from __future__ import annotations

import pytest

from relay.delivery.breaker import RARELY, Breaker, Ending, Trip, ending, probe_every


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
    found = told(accepted, refused, known).trip(exhausted=exhausted, taken=accepted > 0)
    assert (found is not None) is trips


@pytest.mark.parametrize(
    ("accepted", "deferred", "rejected", "taken", "exhausted", "trips"),
    [
        (19, 0, 19, False, False, False),  # the rest may be better
        (20, 0, 20, False, False, True),
        (30, 10, 20, False, False, True),
        (99, 0, 98, True, False, False),  # one in a hundred is taken: the others may well be spam
        (2000, 0, 1999, True, True, False),
        (1, 0, 1, False, True, True),
        (1, 0, 1, True, True, False),
        (3, 2, 1, False, True, False),  # what is put off may be taken yet
        (0, 0, 20, False, False, True),  # at MAIL
        (5, 0, 0, False, True, False),
    ],
)
def test_trips_where_nothing_is_taken(
    accepted: int, deferred: int, rejected: int, taken: bool, exhausted: bool, trips: bool
) -> None:
    """A filter that refuses everything stops the drain; one that lets anything pass doesn't."""
    breaker = Breaker().answered(accepted, deferred)
    if rejected:
        breaker = breaker.reject(rejected, "554 5.7.1 Spam")
    assert (breaker.trip(exhausted=exhausted, taken=taken) is not None) is trips


def test_refusals_at_rcpt_and_later_count_together_where_nothing_is_taken() -> None:
    """It makes no difference where a broken set-up says no; the ticket has its words."""
    breaker = told(15, 5).reject(15, "554 5.3.0 No filter")
    trip = breaker.trip(exhausted=False, taken=False)
    assert trip is not None
    assert not trip.addresses  # no question would tell
    assert trip.reason == (
        "nothing has been taken since the return, all 20 recipients so far are refused, "
        "the last with: 554 5.3.0 No filter"
    )


@pytest.mark.parametrize(
    ("taken", "refusals", "waiting", "becomes"),
    [
        (True, 500, 0, Ending.CLOSES),
        (True, 1, 500, Ending.CLOSES),
        (False, 0, 0, Ending.CLOSES),  # nothing came
        (False, 1, 0, Ending.TRIPS),
        (False, 1, 500, Ending.TRIPS),
        (False, 0, 1, Ending.STAYS_OPEN),  # all was put off: what is refused then is provisional still
    ],
)
def test_the_window_ends(taken: bool, refusals: int, waiting: int, becomes: Ending) -> None:
    """Refusals become failures only where something was taken."""
    assert ending(taken=taken, refusals=refusals, waiting=waiting) is becomes


def test_whole_messages_are_tried_ever_more_rarely() -> None:
    """A question at RCPT may be asked again and again; of refused messages servers take note."""
    asked, tried = Trip("", ("ann@acme.example",)), Trip("")
    assert [probe_every(asked, hours * 3600) for hours in (0, 1, 100)] == [30, 30, 30]
    assert [probe_every(tried, hours * 3600) for hours in (0, 1, 100)] == [30, 180, RARELY]


def test_the_same_recipient_counts_once_as_known() -> None:
    """One mailbox that is gone, with three messages for it, is no reason to stop."""
    breaker = Breaker().answered(50)
    for _ in range(3):
        breaker = breaker.refuse("gone@acme.example", known=True)
    assert breaker.trip(exhausted=False, taken=True) is None


def test_a_trip_says_why_and_whom_to_ask_about() -> None:
    """The ticket names the known; where there are none, the last who were refused are asked about."""
    known = told(10, 4, 3).trip(exhausted=False, taken=True)
    assert known is not None
    assert known.known
    assert known.addresses == ("r0@acme.example", "r1@acme.example", "r2@acme.example")
    assert "r1@acme.example" in known.reason
    share = told(0, 30).trip(exhausted=False, taken=False)
    assert share is not None
    assert not share.known
    assert share.reason == "30 of 30 recipients are refused"
    assert share.addresses == tuple(f"r{number}@acme.example" for number in range(10, 30))
