"""An operator's ceiling: exact over any stretch of time."""

from __future__ import annotations

import pytest

from relay.delivery.ceiling import Ceiling


def begun(ceiling: Ceiling, moments: list[float]) -> list[float]:
    """At which of the moments a message begins, where one begins whenever it may."""
    found = []
    for now in moments:
        while not ceiling.wait(now):
            ceiling = ceiling.begun(now)
            found.append(now)
    return found


@pytest.mark.parametrize("rate", [0.5, 3.0, 10.0, 250.0])
@pytest.mark.parametrize("step", [0.001, 0.037, 1.7])
def test_in_no_stretch_of_time_there_are_more(rate: float, step: float) -> None:
    """However often somebody looks, t seconds see rate times t messages and the small burst at most."""
    begins = begun(Ceiling(rate, 0.0), [step * n for n in range(int(60 / step))])
    burst = Ceiling(rate, 0.0).burst
    for first in range(0, len(begins), max(1, len(begins) // 50)):
        for last in range(first, len(begins), max(1, len(begins) // 50)):
            assert last - first + 1 <= rate * (begins[last] - begins[first]) + burst + 1e-6


@pytest.mark.parametrize("rate", [0.5, 10.0, 250.0])
def test_the_rate_is_reached(rate: float) -> None:
    """Who looks often enough gets the whole rate."""
    assert len(begun(Ceiling(rate, 0.0), [n / 1000 for n in range(60_000)])) == pytest.approx(60 * rate, abs=1.5)


def test_a_pause_saves_up_a_tenth_of_a_second() -> None:
    """After an hour without mail there is a burst of a tenth of a second's worth, or of one message."""
    assert len(begun(Ceiling(100.0, 0.0), [3600.0])) == 10
    assert len(begun(Ceiling(2.0, 0.0), [3600.0])) == 1


def test_the_wait_is_what_it_takes() -> None:
    """Who waits as long as it says may begin, and not before."""
    ceiling = Ceiling(4.0, 100.0).begun(100.0)
    assert ceiling.wait(100.0) == pytest.approx(0.25)
    assert ceiling.wait(100.2) == pytest.approx(0.05)
    assert ceiling.wait(100.25) == 0.0


def test_another_rate_holds_from_then_on() -> None:
    """What was saved up under a higher ceiling isn't spent under a lower one."""
    ceiling = Ceiling(1000.0, 0.0).changed(2.0, 60.0)
    assert len(begun(ceiling, [60.0, 60.4, 60.5])) == 2
    assert ceiling.changed(2.0, 70.0) is ceiling
