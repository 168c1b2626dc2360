"""Time that nobody can set."""

from __future__ import annotations

from relay.clock import Clock, iso


def test_a_clock_that_is_set_in_mid_run_moves_nothing_but_the_drift() -> None:
    """now() follows monotonic time; the wall clock's jump shows as drift alone."""
    wall, steady = [1000.0], [50.0]
    clock = Clock(wall=lambda: wall[0], monotonic=lambda: steady[0])
    steady[0] += 10
    wall[0] += 10 + 3 * 86400
    assert clock.now() == 1010.0
    assert clock.drift() == 3 * 86400


def test_times_are_shown_in_utc() -> None:
    """ISO 8601 with a Z."""
    assert iso(1795455000.9) == "2026-11-23T17:30:00Z"
