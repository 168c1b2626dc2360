"""Threads in which messages are sent: so many at a time, and each lane has its own.

A lane is one target, or the mail server that all customers' contacts are written to by. What hangs in a lane holds up
that lane: past ``patience`` it counts no longer among those that are at work for all, and is taken for failed. It
can't be ended, so a lane in which :data:`STRAYS` hang is left alone until one of them ends. The threads are daemons:
none of them keeps a node from stopping.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from relay.errors import NotifyError

T = TypeVar("T")

STRAYS = 3
PATIENCE = 60.0


class Threads:
    """``patience``: seconds."""

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._strays: Counter[str] = Counter()

    def free(self, lane: str) -> bool:
        """Whether anything may be begun in a lane."""
        return self._strays[lane] < STRAYS

    async def call(self, lane: str, work: Callable[[], T]) -> T:
        """``work()`` in a thread of its own. Raises what it raises, and NotifyError where it doesn't end."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[T] = loop.create_future()

        def end(act: Callable[[], None]) -> None:
            if not ended.done():
                act()

        def run() -> None:
            try:
                act = functools.partial(ended.set_result, work())
            except BaseException as failure:  # whatever it is, somebody waits for it
                act = functools.partial(ended.set_exception, failure)
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(end, act)

        threading.Thread(target=run, name=f"notify {lane}", daemon=True).start()
        done, _ = await asyncio.wait({ended}, timeout=self._patience)
        if done:
            return ended.result()
        self._strays[lane] += 1
        ended.add_done_callback(lambda future: self._came_back(lane, future))
        raise NotifyError(f"has not ended within {self._patience:g} s")

    def _came_back(self, lane: str, future: asyncio.Future[T]) -> None:
        self._strays[lane] -= 1
        if not future.cancelled():
            future.exception()  # seen: it was told as a failure before
