"""Does this node stand on firm ground? Whether it is connected right now, before it says that something else isn't.

A node that has lost its own network sees everybody down, and two that stand side by side see the same: that is no
second opinion. So a node vouches for another's failure only if something else answers it at that moment: a reference
host, or one of the primaries that answered it last. Asked at most once in FRESH seconds, however many ask.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence

from relay.appliances.model import Primary

FRESH = 2.0
"""Seconds for which an answer holds."""
FEW = 3
"""Primaries that are tried."""


class Footing:
    """``references``: whether one of the reference hosts answers, None where there are none; ``answering``: up to so
    many primaries that answered last; ``reaches``: whether one of these answers now."""

    def __init__(
        self,
        references: Callable[[], Awaitable[bool | None]],
        answering: Callable[[int], Sequence[Primary]],
        reaches: Callable[[Primary], Awaitable[bool]],
    ) -> None:
        self._references = references
        self._answering = answering
        self._reaches = reaches
        self._asking: asyncio.Task[set[Primary] | None] | None = None
        self._asked_at = float("-inf")

    async def firm(self, about: Collection[Primary]) -> bool:
        """Whether anything but these answers now."""
        now = asyncio.get_running_loop().time()
        if self._asking is None or now - self._asked_at > FRESH:
            self._asked_at = now
            self._asking = asyncio.create_task(self._ask())
        answering = await asyncio.shield(self._asking)
        return answering is None or bool(answering - set(about))

    async def _ask(self) -> set[Primary] | None:
        """Which primaries answer; None: a reference host does, which says it for all."""
        if await self._references():
            return None
        known = self._answering(FEW)
        found = await asyncio.gather(*(self._reaches(primary) for primary in known))
        return {primary for primary, answers in zip(known, found, strict=True) if answers}
