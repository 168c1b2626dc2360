"""The only place that reads the time.

``now()`` is the wall time at start plus monotonic time, so that a clock that is set in mid-run neither expires mail
nor breaches a ticket. Times are floats: POSIX seconds in UTC; durations are seconds. Tests hand in readings of
their own. What has to agree with other processes on the same machine (rows that an operator's command writes) uses
the same now(); a clock that was stepped shows as :meth:`Clock.drift`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache

DRIFT_LIMIT = 60.0
"""Seconds between now() and the wall clock past which the difference is an event and a finding of ``doctor``."""


class Clock:
    """Time for one process. ``wall`` and ``monotonic`` return seconds."""

    def __init__(self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._offset = wall() - monotonic()

    def now(self) -> float:
        """POSIX seconds, never running backwards."""
        return self._offset + self._monotonic()

    def monotonic(self) -> float:
        """Seconds since some moment; for durations alone."""
        return self._monotonic()

    def drift(self) -> float:
        """Seconds by which the wall clock is ahead of now() (negative: behind)."""
        return self._wall() - self.now()


def iso(at: float) -> str:
    """``at`` as ISO 8601 in UTC to the second: 2026-11-23T17:30:00Z."""
    return f"{_second(int(at // 1))}Z"


def stamp() -> str:
    """What the wall clock says now, for the log: as :func:`iso`, to the microsecond."""
    second, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return f"{_second(second)}.{nanoseconds // 1000:06}Z"


@lru_cache(maxsize=2)  # a busy log has thousands of lines within one
def _second(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S")
