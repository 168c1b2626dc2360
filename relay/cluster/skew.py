"""Our time beside that of the database's server, which all nodes share."""

from __future__ import annotations

from sqlalchemy import Connection

from relay import events
from relay.clock import DRIFT_LIMIT, Clock
from relay.db import server_time


class Skew:
    """Measured again and again; what is said of it is said once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._far = False  # ... off, which has been said

    def measure(self, connection: Connection) -> float | None:
        """Seconds that our time is ahead; the while that the answer took is nobody's fault. None: there is no server
        with a clock of its own."""
        earliest, there, latest = self._clock.now(), server_time(connection), self._clock.now()
        if there is None:
            return None
        skew = max(0.0, earliest - there) or min(0.0, latest - there)
        events.clock_skew(skew)
        if (far := abs(skew) > DRIFT_LIMIT) != self._far:
            self._far = far
            say = events.clock_skewed if far else events.clock_agrees
            say(skew)
        return skew
