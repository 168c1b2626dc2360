"""How many connections a primary is given: one message first, then 1, 2, 4 … up to the limit.

A returning primary is treated gently. The *canary* is one message on one connection: nothing else goes out until it is
answered. Then the number doubles with every clean round, in which each connection has handed over a few messages; a
push-back (421, or a connection that isn't taken) halves it. Past the width at which that happened it grows by one a
round instead, so that the limit of a primary is found once and not run into for ever.

Pure values: each step returns a new one. Does not open connections, and knows neither time nor health.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

ROUND = 4
"""Messages taken on each of the present connections that make a clean round."""


@dataclass(frozen=True, slots=True)
class Ramp:
    """``width``: connections allowed now. ``canary``: one message in all, and no other before its answer."""

    limit: int
    width: int
    canary: bool
    gentle: bool
    threshold: int
    """Below it the width doubles; from there on it grows by one."""
    era: int = 0
    """Rises with each push-back: a connection that was opened in an earlier era tells nothing new."""
    clean: int = 0

    @classmethod
    def begin(cls, limit: int, *, canary: bool, gentle: bool = True) -> Ramp:
        """``gentle=False`` (``[delivery] ramp = false``): to ``limit`` at once, after the canary if there is one."""
        return cls(limit, 1 if gentle or canary else limit, canary, gentle, limit)

    def taken(self) -> Ramp:
        """A message was taken by the primary."""
        if self.canary:
            return self.proven()
        if self.width >= self.limit:
            return self
        if self.clean + 1 < ROUND * self.width:
            return replace(self, clean=self.clean + 1)
        wider = min(self.width * 2, max(self.threshold, self.width + 1), self.limit)
        return replace(self, width=wider, clean=0)

    def proven(self) -> Ramp:
        """The canary was answered, and the primary is known to be up: no canary is needed any more."""
        return replace(self, canary=False, width=1 if self.gentle else self.limit, clean=0) if self.canary else self

    def pushed_back(self, era: int) -> Ramp:
        """A connection begun in ``era`` got 421 or wasn't taken. Several of one era halve the width once."""
        if era != self.era:
            return self
        half = max(self.width // 2, 1)
        return replace(self, width=half, threshold=half, clean=0, era=self.era + 1)
