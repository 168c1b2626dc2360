"""A tap on the line to a server: a TCP proxy that hands everything on and keeps what the client said, octet for octet.

async with tap("127.0.0.1", primary.port) as line:
    ...                     # the client connects to line.port
    line.heard              # what each connection brought, oldest first
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Tap:
    """``port``: where to connect instead; ``heard``: the octets of the clients, one buffer a connection."""

    def __init__(self, host: str, server_port: int) -> None:
        self.port = 0
        self.heard: list[bytearray] = []
        self._server = (host, server_port)

    @property
    def address(self) -> str:
        """host:port, as ``--primary`` takes it."""
        return f"127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            there, back = await asyncio.open_connection(*self._server)
        except OSError:
            writer.transport.abort()
            return
        heard = bytearray()
        self.heard.append(heard)
        await asyncio.gather(_pass(reader, back, heard), _pass(there, writer, None))


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, heard: bytearray | None) -> None:
    with suppress(ConnectionError):
        while octets := await reader.read(2**16):
            if heard is not None:
                heard += octets
            writer.write(octets)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def tap(host: str, port: int) -> AsyncIterator[Tap]:
    """A tap on the line to ``host``:``port``, until the block is left."""
    made = Tap(host, port)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
