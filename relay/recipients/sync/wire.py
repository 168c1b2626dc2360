"""One TCP connection to a directory: bytes out, bytes in, each with a time limit.

Knows nothing of LDAP. What comes in waits in memory up to HIGH bytes, then the peer waits; nothing here holds the loop
or a thread, so that a server which never answers costs a socket until its time is over.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from typing import Self, cast

from relay.errors import SyncFailed

HIGH = 256 * 1024


class Wire(asyncio.Protocol):
    """Made by :meth:`open`; every method raises SyncFailed where the connection is of no use any more."""

    _transport: asyncio.Transport

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._arrived = bytearray()
        self._news = asyncio.Event()
        self._paused = False
        self._ended = ""

    @classmethod
    async def open(cls, addresses: Sequence[str], port: int, timeout: float) -> Self:
        """Connected to the first of the addresses that answers, each within ``timeout`` seconds."""
        reasons = []
        for address in addresses:
            try:
                async with asyncio.timeout(timeout):
                    _, wire = await asyncio.get_running_loop().create_connection(cls, address, port)
                    return wire
            except TimeoutError:
                reasons.append(f"no connection within {timeout:g} s")
            except OSError as error:
                refused = isinstance(error, ConnectionRefusedError)
                reasons.append("connection refused" if refused else error.strerror or str(error))
        raise SyncFailed(", ".join(dict.fromkeys(reasons)) or "the name has no address")

    @property
    def unread(self) -> bool:
        """Whether something has come that nobody has received."""
        return bool(self._arrived)

    async def encrypt(self, context: ssl.SSLContext, host: str, timeout: float) -> None:
        """Go on encrypted, with a peer that can show that it is ``host``."""
        if self.unread:  # in plain text, behind the answer to StartTLS: whoever put it there
            raise SyncFailed("it sent something in plain text in front of the TLS handshake")
        try:
            transport = await self._loop.start_tls(
                self._transport, self, context, server_hostname=host, ssl_handshake_timeout=timeout
            )
        except ssl.SSLCertVerificationError as error:
            raise SyncFailed(f"its certificate is not believed: {error.verify_message}") from error
        except (OSError, ValueError) as error:  # what ssl raises is an OSError; a host that is no name, a ValueError
            raise SyncFailed(f"the TLS handshake failed: {_words(error)}") from error
        if transport is None:
            raise SyncFailed("it ended the connection in the TLS handshake")
        self._transport = transport

    def send(self, data: bytes) -> None:
        self._transport.write(data)

    async def receive(self) -> bytes:
        """What has come, at least one byte; the caller limits the time."""
        while not self._arrived:
            if self._ended:
                raise SyncFailed(self._ended)
            self._news.clear()
            await self._news.wait()
        data = bytes(self._arrived)
        self._arrived.clear()
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        return data

    def close(self) -> None:
        self._transport.abort()

    # Called by the loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._arrived += data
        self._news.set()
        if len(self._arrived) > HIGH and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self._ended = f"the connection was lost: {_words(error)}" if error else "it ended the connection"
        self._news.set()


def _words(error: Exception) -> str:
    return getattr(error, "reason", "") or getattr(error, "strerror", "") or str(error) or type(error).__name__
