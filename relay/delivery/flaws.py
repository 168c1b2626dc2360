"""What primaries offer and can't do, as their connections have found out, so that the next one needn't.

It is forgotten after an hour: servers are mended, and firewalls reconfigured. What was refused once for a single client
(XCLIENT) proves nothing yet; what is left unused costs the mail nothing either way.
"""

from __future__ import annotations

from relay.appliances.model import Primary
from relay.clock import Clock
from relay.smtp.dialogue import Extension

REMEMBERED = 3600.0
"""Seconds."""
ENOUGH = {Extension.CHUNKING: 1, Extension.XCLIENT: 3, Extension.XFORWARD: 1}
"""How often in a row it has to fail."""


class Flaws:
    """One for each node."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: dict[tuple[Primary, Extension], int] = {}
        self._until: dict[tuple[Primary, Extension], float] = {}

    def of(self, primary: Primary) -> frozenset[Extension]:
        """What is better left unused."""
        now = self._clock.monotonic()
        return frozenset(extension for extension in Extension if self._until.get((primary, extension), 0.0) > now)

    def failed(self, primary: Primary, extension: Extension) -> bool:
        """It didn't work; True where it is left unused from now on."""
        known = primary, extension
        self._failures[known] = times = self._failures.get(known, 0) + 1
        if times < ENOUGH[extension]:
            return False
        del self._failures[known]
        news = self._until.get(known, 0.0) <= self._clock.monotonic()
        self._until[known] = self._clock.monotonic() + REMEMBERED
        return news

    def worked(self, primary: Primary, extension: Extension) -> None:
        self._failures.pop((primary, extension), None)
