"""What is said of a drain, to a person who wants to know when it ends."""

from __future__ import annotations

from dataclasses import replace

import pytest

from relay.appliances.progress import Handback, Phase, Progress, about, pace

NOW = 1_800_000_000.0
RUNNING = Progress(1, "n1", NOW - 120, NOW, Phase.RUNNING, 144_480, 290_000, 1204.3, NOW - 0.5)


def test_a_drain_that_runs_says_how_fast_and_how_long() -> None:
    """With what slows it, if that is known."""
    assert RUNNING.told(289_000) == "1 204 a second, 289 000 left, about 4 min left"
    assert RUNNING.seconds_left(12_043) == pytest.approx(10)
    slow = replace(RUNNING, rate=0.4, why="the primary takes 12 s for a reply")
    assert slow.told(900) == "24 a minute, 900 left, about 38 min left; the primary takes 12 s for a reply"


def test_one_that_does_not_get_on_says_so_instead_of_guessing() -> None:
    """Stalled, stopped by the breaker, trying one message, or too young to tell."""
    stalled = replace(RUNNING, rate=0.0, moved_at=NOW - 200, why="192.0.2.25:25: connection refused")
    assert stalled.stalled
    assert stalled.told(10) == "the drain stands still for 3 min: 192.0.2.25:25: connection refused; 10 left"
    stopped = replace(RUNNING, phase=Phase.STOPPED, why="all 3 recipients are refused")
    assert stopped.told(0) == "the drain is stopped: all 3 recipients are refused; 0 left"
    canary = replace(RUNNING, phase=Phase.CANARY)
    assert canary.told(5000) == "one message is tried first; 5 000 left"
    young = replace(RUNNING, began_at=NOW - 5)
    assert young.told(5000) == "the drain has just begun, 5 000 left"
    assert {one.seconds_left(5000) for one in (stalled, stopped, canary, young)} == {None}


def test_a_row_that_nobody_renews_grows_old() -> None:
    """A node that died says nothing more."""
    assert RUNNING.fresh(NOW + 10)
    assert not RUNNING.fresh(NOW + 20)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 s"), (59, "59 s"), (61, "1 min"), (5000, "83 min"), (5400, "2 h"), (172_000, "48 h"), (172_801, "2 d")],
)
def test_nobody_knows_exactly(seconds: float, words: str) -> None:
    """One figure and one unit."""
    assert about(seconds) == words


def test_what_was_handed_back_is_told_in_one_sentence() -> None:
    """Nothing of nothing, no rate of an instant, and no peak below what there was all the time."""
    assert Handback().told() == ""
    assert Handback(1500, 1500, 3.0, 375.0).told() == "1 500 recipients (1 500 messages) in 3 s, 500 a second"
    assert Handback(1, 1, 0.1, 1.0).told() == "1 recipient (1 message) in 1 s"
    assert Handback(18_000, 20_000, 34.0, 1203.0).told() == (
        "20 000 recipients (18 000 messages) in 34 s, 588 a second, 1 203 a second at the most"
    )
    assert [pace(rate) for rate in (0.0, 0.001, 4.9, 5.0)] == [
        "nothing yet",
        "1 a minute",
        "294 a minute",
        "5 a second",
    ]
