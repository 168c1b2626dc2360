"""Telling whoever waits that something has happened, without losing what happens while they look."""

from __future__ import annotations

import asyncio


class News:
    """Take ``next`` before looking around, and wait for it afterwards."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def announce(self) -> None:
        self._event.set()
        self._event = asyncio.Event()

    @property
    def next(self) -> asyncio.Event:
        """Is set by the next announcement."""
        return self._event


async def wait_for(event: asyncio.Event, seconds: float) -> None:
    """Return when the event is set, or after so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass  # time to look around
