"""What a node feels of itself: whether its event loop is held, and whether the wall clock was set under it.

Both are events and metrics; nothing is decided here. The drift is also in the node's row, for ``relayctl doctor``.
"""

from __future__ import annotations

import asyncio

from relay import events
from relay.clock import DRIFT_LIMIT, Clock

LOOP_LIMIT = 0.25
"""Seconds for which the loop may be held before that is an event."""
BEAT = 0.1


class Vitals:
    """One for each node."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._drift = 0.0

    async def run(self) -> None:
        """Feel the pulse ten times a second: a loop held for longer than the limit is always noticed."""
        loop = asyncio.get_running_loop()
        due = loop.time() + BEAT
        while True:
            await asyncio.sleep(max(0.0, due - loop.time()))
            late = loop.time() - due
            if late > LOOP_LIMIT:
                events.loop_delayed(late)
            self._check_drift()
            due = loop.time() + BEAT

    def _check_drift(self) -> None:
        drift = self._clock.drift()
        if abs(drift - self._drift) > DRIFT_LIMIT:
            self._drift = drift
            events.clock_drifted(drift)
