"""How many reports a minute may go to each domain, and to all: a burst of failures is told slowly.

Pure: takes the time, and waits for nothing.
"""

from __future__ import annotations

A_DOMAIN = 30
"""Reports a minute to one domain."""
IN_ALL = 300
"""The same to all domains."""
EVERYBODY = ""


class Allowance:
    """Each allowance is full at first, and is refilled evenly. Times are monotonic seconds."""

    def __init__(self, a_domain: int = A_DOMAIN, in_all: int = IN_ALL) -> None:
        self._a_domain = a_domain
        self._in_all = in_all
        self._left: dict[str, tuple[float, float]] = {}

    def of(self, domain: str, at: float) -> int:
        """How many may go to a domain now."""
        return int(min(self._now(domain, at), self._now(EVERYBODY, at)))

    def take(self, domain: str, at: float) -> None:
        """One goes."""
        for name in (domain, EVERYBODY):
            self._left[name] = self._now(name, at) - 1, at

    def forget(self, at: float) -> None:
        """Whoever has all of it again needs no place in memory."""
        self._left = {name: left for name, left in self._left.items() if self._now(name, at) < self._most(name)}

    def _now(self, name: str, at: float) -> float:
        most = self._most(name)
        left, since = self._left.get(name, (float(most), at))
        return min(float(most), left + (at - since) * most / 60)

    def _most(self, name: str) -> int:
        return self._a_domain if name else self._in_all
