"""An operator's ceiling: no more than so many messages a second are begun, whatever a primary would take.

A bucket of tokens, one for each message, which fills at the rate of the ceiling. It holds a tenth of a second's worth,
and one at least: in any stretch of ``t`` seconds no more than ``rate * t + burst`` messages are begun. Where a message
takes several transactions (over a hundred recipients), each counts.

Pure values: each step returns a new one; ``now`` is monotonic seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

BURST = 0.1
"""Seconds' worth of messages that may be begun at once, after a time with fewer."""
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Ceiling:
    """``rate``: messages a second. ``tokens``: how many might be begun at the moment ``at``."""

    rate: float
    at: float
    tokens: float = 1.0

    @property
    def burst(self) -> float:
        return max(1.0, self.rate * BURST)

    def wait(self, now: float) -> float:
        """Seconds until the next message may be begun; 0 for now."""
        missing = 1.0 - self._filled(now)
        return 0.0 if missing <= _ROUNDING else missing / self.rate

    def begun(self, now: float) -> Ceiling:
        """One more message is begun."""
        return replace(self, at=now, tokens=self._filled(now) - 1.0)

    def changed(self, rate: float, now: float) -> Ceiling:
        """The same with another rate from ``now`` on; what was begun still counts."""
        if rate == self.rate:
            return self
        raised = replace(self, rate=rate, at=now, tokens=self._filled(now))
        return replace(raised, tokens=min(raised.tokens, raised.burst))

    def _filled(self, now: float) -> float:
        return min(self.tokens + (now - self.at) * self.rate, self.burst)
