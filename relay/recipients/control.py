"""Whether the refusals of a primary mean anything now.

They don't in the time after a return, nor while it refuses everybody: a directory that isn't loaded yet knows nobody.
So a refusal counts only where somebody was accepted a short while ago; where nobody was, somebody who must exist is
asked about first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from relay.appliances.facts import Health, HealthFact
from relay.clock import Clock

SETTLED = 900.0
"""Seconds after a return during which refusals don't count, and for which an acceptance lends them weight."""
EVERY = 60.0
"""Seconds between two attempts to find somebody who is accepted."""


@dataclass(slots=True)
class Control:
    """Of one domain."""

    clock: Clock
    accepted_at: float = float("-inf")
    _tried_at: float = float("-inf")
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def settled(self, health: HealthFact) -> bool:
        """Whether the primary is up, and has been for a while."""
        return health.state is Health.UP and self.clock.now() - health.since >= SETTLED

    def accepts(self) -> bool:
        """Whether it has accepted somebody lately."""
        return self.clock.now() - self.accepted_at < SETTLED

    async def counts(
        self, health: HealthFact, witnesses: Callable[[], Iterable[str]], exists: Callable[[str], Awaitable[bool]]
    ) -> bool:
        """Whether a refusal of now counts. ``witnesses``: recipients who must exist; ``exists``: asks the primary."""
        if not self.settled(health):
            return False
        async with self._turn:  # several refusals at the same time need one answer
            if self.accepts():
                return True
            if self.clock.now() - self._tried_at < EVERY:
                return False
            self._tried_at = self.clock.now()
            for witness in witnesses():
                if await exists(witness):
                    self.accepted_at = self.clock.now()
                    return True
            return False
