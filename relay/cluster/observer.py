"""Who is dead, by what this node has seen with its own monotonic clock: wall times are never compared. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

STEADY_AFTER = 1.0
"""Times ``dead_after`` for which a node must have been seen alive before it is given what others own."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. A node begins nothing later than ``dead_after - margin`` after the start of its last renewal."""

    renew: float = 3.0
    dead_after: float = 10.0
    margin: float = 3.0


@dataclass(slots=True)
class Observer:
    """How long the counters of other nodes have stood still, and for how long each has been seen alive, by this node's
    monotonic clock."""

    timing: Timing
    _since: dict[str, tuple[int, float]] = field(default_factory=dict)
    _born: dict[str, float] = field(default_factory=dict)
    _looked_at: float = float("-inf")

    def dead(self, counters: Mapping[str, int], at: float) -> set[str]:
        """Take the counters as they are at ``at``; the names of those that stood still for too long. Whoever hasn't
        looked for a while, for it was stopped itself, has seen nothing and begins anew."""
        slept = at - self._looked_at > self.timing.dead_after / 2
        self._looked_at = at
        self._since = {
            name: known if (known := self._since.get(name)) and known[0] == counter and not slept else (counter, at)
            for name, counter in counters.items()
        }
        dead = {name for name, (_, since) in self._since.items() if at - since >= self.timing.dead_after}
        self._born = {name: self._born.get(name, at) for name in counters.keys() - dead}
        return dead

    def next_death(self, at: float) -> float:
        """Seconds until the next of them would be dead if its counter stood still on; infinite where none lives."""
        ends = (since + self.timing.dead_after - at for _, since in self._since.values())
        return min((end for end in ends if end > 0), default=float("inf"))

    def steady(self, name: str) -> bool:
        """Whether a node has been alive for so long that it may be given what has an owner: not one that starts and
        dies over and over."""
        return self._looked_at - self._born.get(name, self._looked_at) >= STEADY_AFTER * self.timing.dead_after
