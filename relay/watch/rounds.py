"""Looking at something again and again, for as long as the node runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from relay import events
from relay.appliances.directory import Directory

PAUSE = 1.0
"""Seconds between two looks, at least, where the facts change all the time."""


async def again_and_again(look: Callable[[], Awaitable[None]], directory: Directory, every: float, what: str) -> None:
    """Look once the facts have changed, and every so many seconds, until cancelled.

    A look that fails is a fault, at ``what``; the next one makes it good.
    """
    while True:
        seen = directory.snapshot.version
        try:
            await look()
        except Exception as error:
            events.fault(what, error)
        await asyncio.sleep(PAUSE)
        await directory.changed_since(seen, every - PAUSE)
