"""The content of the messages that go out next, asked for in good time and several at once.

A connection would otherwise wait for a turn of the queue's reader before each message, and each turn costs more than
the reading. Small messages alone are read ahead; the others are read when it is their turn, large ones in pieces.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from itertools import islice

from relay.queue.content import INLINE, UPLOAD_ABOVE
from relay.queue.model import Outgoing
from relay.queue.queue import Queue
from relay.smtp.content import Content

AHEAD = 256
"""Messages that are looked at when content is asked for."""
AHEAD_BYTES = 4 * 1024 * 1024
"""Content that is read ahead at most, unpacked."""


class Contents:
    """For one drain. ``upcoming``: what will be asked for next, as far as that is known."""

    def __init__(self, queue: Queue, upcoming: Callable[[], Iterable[Outgoing]]) -> None:
        self._queue = queue
        self._upcoming = upcoming
        self._asked: dict[int, tuple[asyncio.Future[bytes], int]] = {}  # and its size
        self._bytes = 0  # of all that was asked for

    async def of(self, parcel: Outgoing) -> Content:
        """The content with our Received line on top. Raises NotFound where the message is gone."""
        if parcel.size > UPLOAD_ABOVE:
            return self._queue.pieces(parcel.id)
        asked = self._taken(parcel.id)
        if len(self._asked) < AHEAD // 2 and self._bytes < AHEAD_BYTES // 2:  # many at once, or not at all
            self._ask_ahead()
        return await (asked or self._queue.content(parcel.id))

    def forget(self) -> None:
        """Nothing more is wanted."""
        self._forget(list(self._asked))

    def _ask_ahead(self) -> None:
        small = [parcel for parcel in islice(self._upcoming(), AHEAD) if parcel.size <= INLINE]
        self._forget(self._asked.keys() - {parcel.id for parcel in small})  # operators hold mail, and drop it
        for parcel in small:
            if self._bytes + parcel.size > AHEAD_BYTES:
                break
            if parcel.id not in self._asked:
                asked = self._queue.content(parcel.id)
                asked.add_done_callback(_heard)
                self._asked[parcel.id] = asked, parcel.size
                self._bytes += parcel.size

    def _forget(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            if (asked := self._taken(number)) is not None:
                asked.cancel()

    def _taken(self, number: int) -> asyncio.Future[bytes] | None:
        asked, size = self._asked.pop(number, (None, 0))
        self._bytes -= size
        return asked


def _heard(asked: asyncio.Future[bytes]) -> None:
    """Who never asks for the result isn't to be told of its failure either."""
    if not asked.cancelled():
        asked.exception()
