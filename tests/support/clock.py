"""A clock that starts when a story begins, runs at real speed, and can leap over the hours in which nothing happens.

    clock = StagedClock.at("2026-11-27 17:59:50", "Europe/Berlin")
    clock.leap(1800)                              # half an hour later

now() and the wall clock leap together, so that nobody sees a drift. Monotonic time doesn't: what is measured in
seconds of waiting (leases, timeouts, connections) goes on as it was.
"""

from __future__ import annotations

import time
from datetime import datetime
from zoneinfo import ZoneInfo

from relay.clock import Clock


class StagedClock(Clock):
    """``start``: POSIX seconds that now() shows at first."""

    def __init__(self, start: float) -> None:
        self._ahead = start - time.time()
        self._leapt = 0.0
        super().__init__(wall=lambda: time.time() + self._ahead + self._leapt)

    @classmethod
    def at(cls, text: str, zone: str = "UTC") -> StagedClock:
        """One that starts at a local time such as ``2026-11-27 17:59:50``."""
        return cls(moment(text, zone))

    def now(self) -> float:
        return super().now() + self._leapt

    def leap(self, seconds: float) -> None:
        """It is so much later, all at once."""
        assert seconds >= 0, "time doesn't run backwards"
        self._leapt += seconds

    def leap_to(self, text: str, zone: str = "UTC") -> None:
        """It is that local time, which must not have passed yet."""
        self.leap(moment(text, zone) - self.now())


def moment(text: str, zone: str = "UTC") -> float:
    """A local time as POSIX seconds."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()
