"""Who is dead, and whose clock is to be doubted."""

from __future__ import annotations

import pytest

from relay.cluster.observer import Observer, Timing
from relay.cluster.settling import settles_at


def watch(*looks: tuple[float, dict[str, int]]) -> set[str]:
    """Who is dead at the last of these looks: the moment, and the counters then."""
    observer = Observer(Timing())
    dead: set[str] = set()
    for at, counters in looks:
        dead = observer.dead(counters, at)
    return dead


def test_a_counter_that_stands_still_for_ten_seconds_is_dead() -> None:
    """Just short of it is not enough."""
    assert watch(*((at, {"b": 7}) for at in (0.0, 3.0, 6.0, 9.9))) == set()
    assert watch(*((at, {"b": 7}) for at in (0.0, 3.0, 6.0, 9.0, 10.0))) == {"b"}


def test_a_counter_that_moves_lives() -> None:
    """Each change begins the ten seconds anew, also a counter that went back."""
    assert watch((0.0, {"b": 7}), (4.0, {"b": 7}), (8.0, {"b": 8}), (12.0, {"b": 8})) == set()
    assert watch((0.0, {"b": 7}), (4.0, {"b": 7}), (8.0, {"b": 1}), (12.0, {"b": 1})) == set()


def test_an_observer_that_slept_has_seen_nothing() -> None:
    """A node that was itself stopped can't tell whether the others were: it begins to look anew."""
    assert watch((0.0, {"b": 7}), (3.0, {"b": 7}), (60.0, {"b": 7})) == set()
    assert watch((0.0, {"b": 7}), (60.0, {"b": 7}), (64.0, {"b": 7}), (68.0, {"b": 7}), (70.0, {"b": 7})) == {"b"}


def test_a_death_is_looked_for_when_it_comes() -> None:
    """Of several the next one; the dead are past it, and without anybody there is none."""
    observer = Observer(Timing())
    assert observer.next_death(0.0) == float("inf")
    observer.dead({"b": 7}, 0.0)
    observer.dead({"b": 7, "c": 1}, 3.0)
    assert observer.next_death(9.0) == 1.0
    assert observer.next_death(11.0) == 2.0


def test_nodes_are_judged_one_by_one() -> None:
    """One that is new isn't dead because another is."""
    looks = [(0.0, {"b": 7}), (4.0, {"b": 7, "c": 1}), (8.0, {"b": 7, "c": 1}), (10.0, {"b": 7, "c": 1})]
    assert watch(*looks) == {"b"}


NOW = 1_000_000.0


@pytest.mark.parametrize(
    ("last_heartbeat", "before", "expected"),
    [
        (None, None, None),  # the first start of all
        (NOW - 5, None, None),
        (NOW - 86400, None, None),
        (NOW - 86401, None, NOW + 3600),  # over 24 h ahead
        (NOW + 59, None, None),  # no more than the drift that is tolerated
        (NOW + 61, None, NOW + 3600),  # behind
        (NOW - 5, NOW + 100, NOW + 100),  # a restart doesn't cut the hour short
        (NOW - 5, NOW - 100, None),
        (NOW - 5, NOW + 7200, None),  # nonsense from another time
    ],
)
def test_when_a_clock_is_doubted(last_heartbeat: float | None, before: float | None, expected: float | None) -> None:
    """Behind the last heartbeat or over a day ahead of it: what can't be undone waits for an hour."""
    assert settles_at(NOW, last_heartbeat, before) == expected
