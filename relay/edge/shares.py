"""Fair shares: while several domains get mail at the same time, none can have the node to itself.

A node has one event loop and one writer: what it stores for one domain another's mail waits behind. So while mail
comes for several, only so much is stored at a time, and only a small part of that for any one. Who is over that waits:
first come, first served within a domain, the domains by turns. A turn is held while we store, never while we wait for
a client, so that slow senders block nobody. (On a slow disk large content has more on its way than its turn, within
bounds of its own: relay.queue.upload.)

While mail comes for one domain alone there is no limit, and no cost but counting. Pure but for the futures that those
who wait are given; everything on the loop.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

from relay.clock import Clock
from relay.errors import Deferred

WINDOW = 1.0
"""Seconds after which mail for another domain no longer counts as at the same time."""
UNIT = 64 * 1024
"""Bytes that are as much work as a small message is by itself."""
TOGETHER = 24
"""Units that are stored at a time while mail comes for several domains. Fewer would make commits small, and slow."""
EACH = 2
"""Those of them that may be for one domain; a message of any size is no more than that. A flood's share of the loop
and of each commit is what another's message waits for: with 4 that is close to twice its usual time, with 6 over."""
LONGEST = 60.0
"""Seconds that a message waits for its turn before its sender is told to try again."""
MOST_WAITING = 250
"""Messages that may wait for one domain; one more is refused at RCPT, before its content is sent."""


def _too_much() -> Deferred:
    # RFC 3463 X.4.5: mail system congestion.
    return Deferred(451, "4.4.5", "Too much mail for this domain at the moment, try again later")


class Turn:
    """A turn that was asked for. ``ready``: None where it has come already; else done when it comes."""

    __slots__ = ("_over", "_shares", "domain", "ready", "units")

    def __init__(self, shares: Shares, domain: str, units: int, ready: asyncio.Future[None] | None) -> None:
        self.domain = domain
        self.units = units
        self.ready = ready
        self._shares = shares
        self._over = False

    def end(self) -> None:
        """The work is done, or given up, also while it still waited. Again is harmless."""
        if not self._over:
            self._over = True
            self._shares.ended(self)


class Shares:
    """One for each node. ``on``: whether shares are kept at all."""

    def __init__(self, clock: Clock, *, on: bool = True) -> None:
        self.on = on
        self._clock = clock
        self._last = ""
        self._several_until = float("-inf")
        self._storing: Counter[str] = Counter()
        self._total = 0
        self._waiting: dict[str, deque[Turn]] = {}
        """By domain, the one whose turn is next first; a domain that nobody waits for isn't in it."""

    def seen(self, domain: str) -> None:
        """Mail comes for a domain. Raises Deferred, 451, where too much of it waits already."""
        if domain != self._last:
            if self._last:
                self._several_until = self._clock.monotonic() + WINDOW
            self._last = domain
        if self._waiting and len(self._waiting.get(domain, ())) >= MOST_WAITING:
            raise _too_much()

    def ask(self, domains: Collection[str], size: int) -> Turn:
        """A turn to store ``size`` bytes for these domains, to be ended; it counts for the one with most going on."""
        units = min(1 + size // UNIT, EACH)
        domain = max(domains, key=self._load) if len(domains) > 1 else next(iter(domains), "")
        if not self._waiting and not self._shared():
            turn = Turn(self, domain, units, None)
            self._begin(turn)
            return turn
        turn = Turn(self, domain, units, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(domain, deque()).append(turn)
        self._let_in()
        return turn

    @asynccontextmanager
    async def turn(self, domains: Collection[str], size: int) -> AsyncIterator[None]:
        """The same for work whose client needn't be looked after meanwhile. Raises Deferred, 451."""
        turn = self.ask(domains, size)
        try:
            if turn.ready is not None:
                async with patient():
                    await asyncio.shield(turn.ready)  # it may be given while we give up
            yield
        finally:
            turn.end()

    def ended(self, turn: Turn) -> None:
        """Called by the turn: what it held is free."""
        if turn.ready is None or turn.ready.done():
            self._total -= turn.units
            self._storing[turn.domain] -= turn.units
            if not self._storing[turn.domain]:
                del self._storing[turn.domain]
        else:
            queue = self._waiting[turn.domain]
            queue.remove(turn)
            if not queue:
                del self._waiting[turn.domain]
        if self._waiting:
            self._let_in()

    def _shared(self) -> bool:
        return self.on and self._clock.monotonic() < self._several_until

    def _load(self, domain: str) -> int:
        return self._storing[domain] + len(self._waiting.get(domain, ()))

    def _begin(self, turn: Turn) -> None:
        self._total += turn.units
        self._storing[turn.domain] += turn.units

    def _fits(self, turn: Turn, each: float) -> bool:
        return self._storing[turn.domain] + turn.units <= each

    def _let_in(self) -> None:
        """Give turns as far as there are any."""
        together, each = (TOGETHER, EACH) if self._shared() else (float("inf"), float("inf"))
        while True:
            turn = next((queue[0] for queue in self._waiting.values() if self._fits(queue[0], each)), None)
            if turn is None or self._total + turn.units > together:
                return
            queue = self._waiting.pop(turn.domain)
            queue.popleft()
            if queue:
                self._waiting[turn.domain] = queue  # behind the others
            self._begin(turn)
            assert turn.ready is not None  # noqa: S101 - it waited
            turn.ready.set_result(None)


@asynccontextmanager
async def patient() -> AsyncIterator[None]:
    """Around waiting for a turn: not for ever. Raises Deferred, 451."""
    try:
        async with asyncio.timeout(LONGEST):
            yield
    except TimeoutError:
        raise _too_much() from None
