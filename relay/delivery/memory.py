"""How much content may be held in memory at once, over all drains: bounded, and no appliance starves the others.

Whoever has nothing gets one message whatever its size, so that each drain goes on.
"""

from __future__ import annotations

import asyncio

LIMIT = 64 * 1024 * 1024
SHARE = LIMIT // 4
"""Bytes that one drain may have."""


class Memory:
    """One for each node, used on the loop alone."""

    def __init__(self, limit: int = LIMIT, share: int = SHARE) -> None:
        self._limit = limit
        self._share = share
        self._used = 0
        self._awaited = False
        self._freed = asyncio.Event()

    def portion(self) -> Portion:
        """For one drain."""
        return Portion(self)

    def fits(self, size: int) -> bool:
        return self._used + size <= self._limit

    def freed(self, size: int) -> None:
        self._used -= size
        if self._awaited:
            self._awaited = False
            self._freed.set()
            self._freed = asyncio.Event()


class Portion:
    """What one drain has taken."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._used = 0

    async def take(self, size: int) -> None:
        """Wait until there is room for so many bytes."""
        memory = self._memory
        while self._used and not (self._used + size <= memory._share and memory.fits(size)):
            memory._awaited = True
            await memory._freed.wait()
        self._used += size
        memory._used += size

    def give_back(self, size: int) -> None:
        self._used -= size
        self._memory.freed(size)
