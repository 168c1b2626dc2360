"""How many connections a host is given: 1, 2, 4 … up to the limit, and half as many when that is too much for it.

A returning host is treated gently. The number doubles with every clean round, in which each connection has handed over
a few messages, and is halved when the host pushes back: by 421, by a connection that it doesn't take, or by answering
ever more slowly. Past the width at which that happened it grows by one a round instead, so that the limit of a host is
found once and not run into for ever.

*Ever more slowly* is: the median time from the end of the data to its reply, in one round, is over three times that of
the host's quickest round so far, and over a quarter of a second. So a host that is slow and stays so is never punished,
nor one whose milliseconds double.

Pure values: each step returns a new one. Does not open connections, and knows neither time nor health.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

ROUND = 4
"""Messages answered on each of the present connections that make a round."""
SLOWER = 3.0
"""How many times slower than the quickest round a round may be."""
NOTICEABLE = 0.25
"""Seconds below which no reply is slow."""
LEAST = 3
"""Replies in a round before their time says anything."""


@dataclass(frozen=True, slots=True)
class Ramp:
    """``width``: connections allowed now, ``limit``: at most."""

    limit: int
    width: int
    gentle: bool
    threshold: int
    """Below it the width doubles; from there on it grows by one."""
    era: int = 0
    """Rises whenever the width is lowered: what was begun in an earlier era tells nothing new."""
    quickest: float | None = None
    """Seconds: the median reply to the end of the data in the quickest round; None before there was one."""
    full: bool = False
    """The host itself has said that more would be too many: other hosts may have the rest."""
    why: str = ""
    """Why the width was last lowered, in words; empty once it is at the limit again."""

    @classmethod
    def begin(cls, limit: int, *, gentle: bool = True) -> Ramp:
        """``gentle=False`` (``[delivery] ramp = false``): to ``limit`` at once."""
        return cls(limit, 1 if gentle else limit, gentle, limit)

    @property
    def round(self) -> int:
        """Messages answered that make a round at this width."""
        return ROUND * self.width

    def after_round(self, seconds: Sequence[float]) -> Ramp:
        """A round without push-back is over; ``seconds``: how long each reply to the end of the data took."""
        pace = median(seconds) if len(seconds) >= LEAST else None
        if too_slow(pace, self.quickest):
            words = f"replies took {pace:.1f} s over {self.width} connections, {self.quickest:.1f} s in its best time"
            return self._lowered(words, full=self.full)
        quickest = self.quickest if pace is None else min(pace, self.quickest or pace)
        width = min(self.width * 2, max(self.threshold, self.width + 1), self.limit)
        if width == self.limit:
            return replace(self, quickest=quickest, width=width, full=False, why="")
        return replace(self, quickest=quickest, width=width)

    def pushed_back(self, era: int, why: str) -> Ramp:
        """A connection begun in ``era`` got 421 or wasn't taken. Several of one era halve the width once."""
        return self._lowered(why, full=True) if era == self.era else self

    def lost(self, era: int, why: str) -> Ramp:
        """The host takes no connection at all: when it is back it is treated as gently as at its first return."""
        if era != self.era:
            return self
        lowered = self._lowered(why, full=False)
        return replace(lowered, width=1, quickest=None) if self.gentle else lowered

    def limited(self, limit: int) -> Ramp:
        """An operator has set another limit."""
        if limit == self.limit:
            return self
        free = not self.why  # it was never too much so far
        threshold = limit if free else min(self.threshold, limit)
        width = min(self.width, limit) if self.gentle or not free else limit
        return replace(self, limit=limit, width=width, threshold=threshold)

    def _lowered(self, why: str, *, full: bool) -> Ramp:
        half = max(self.width // 2, 1)
        return replace(self, width=half, threshold=half, era=self.era + 1, full=full, why=why)


def too_slow(pace: float | None, quickest: float | None) -> bool:
    """Whether a round's median of ``pace`` seconds means that it is too much for a host whose best is ``quickest``."""
    return pace is not None and quickest is not None and pace > max(NOTICEABLE, SLOWER * quickest)
