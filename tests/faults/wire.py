"""The client's end of an SMTP connection: replies as they come, and what was cut off where.

As quick as a generator has to be: no streams, no timers but the one that says that the relay hangs.
"""

from __future__ import annotations

import asyncio

PATIENCE = 60.0
"""Seconds that a reply may take before it counts as none."""


class Cut(Exception):
    """The connection has ended without a reply."""


class Wire(asyncio.Protocol):
    """Made by :func:`connect`."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._lost = False
        self._waiter: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._wake()

    def send(self, octets: bytes) -> None:
        """To a relay that has gone it goes nowhere; the next :meth:`reply` tells."""
        if not self._transport.is_closing():
            self._transport.write(octets)

    async def reply(self) -> int:
        """The code of the next reply. Raises Cut where there won't be one, TimeoutError where it takes too long."""
        async with asyncio.timeout(PATIENCE):
            while True:
                line = await self._line()
                if line[3:4] != b"-":
                    return int(line[:3])

    def close(self) -> None:
        self._transport.abort()

    async def _line(self) -> bytes:
        # What came before the end counts, however the connection has ended.
        while (end := self._received.find(b"\r\n")) < 0:
            if self._lost:
                raise Cut
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        line = bytes(self._received[:end])
        del self._received[: end + 2]
        return line

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


async def connect(address: tuple[str, int]) -> Wire:
    """Raises OSError where nobody listens."""
    _, wire = await asyncio.get_running_loop().create_connection(Wire, *address)
    return wire
