"""How much one appliance is asked: a dictionary attack on us must not become one on the primary. Pure.

Questions are paid from a purse that fills slowly, and a refusal costs more than an answer of yes: primaries ban those
who guess. Few are under way at once; one that isn't answered in time makes all others wait, longer each time in a
row, so that a primary that hangs holds up nobody but the first. ``now``: monotonic seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

FULL = 30.0
"""Questions that may be asked at once, after a quiet while."""
EVERY = 1.0
"""Seconds until one more may be asked."""
REFUSED = 4.0
"""What a refusal costs besides the question."""
TOGETHER = 8
"""Questions that may be under way, or wait for their turn."""
RESTS = (10.0, 30.0, 60.0, 120.0)
"""Seconds of rest after the first, second … silence in a row; the last one from then on."""


@dataclass(slots=True)
class Budget:
    """Of one appliance."""

    purse: float = FULL
    counted_at: float = 0.0
    under_way: int = 0
    silences: int = 0
    rests_until: float = float("-inf")

    def may_ask(self, now: float, *, keep: float = 0.0) -> bool:
        """Whether one more question may be asked; ``keep``: what has to be left for more urgent ones."""
        self._fill(now)
        return self.under_way < TOGETHER and now >= self.rests_until and self.purse >= 1 + keep

    def begin(self, now: float) -> None:
        self._fill(now)
        self.purse -= 1
        self.under_way += 1

    def end(self, now: float, *, silent: bool, refused: bool) -> None:
        """``silent``: there was no reply in time, or no connection."""
        self.under_way -= 1
        if refused:
            self.purse -= REFUSED
        if not silent:
            self.silences = 0
        elif now >= self.rests_until:  # those that were under way together are one silence
            self.rests_until = now + RESTS[min(self.silences, len(RESTS) - 1)]
            self.silences += 1

    def _fill(self, now: float) -> None:
        self.purse = min(FULL, self.purse + max(0.0, now - self.counted_at) / EVERY)
        self.counted_at = now
