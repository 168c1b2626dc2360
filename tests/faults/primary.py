"""The customer's primary, as quick as the relay's drain: it takes what comes, and counts how often each letter came.

Every letter is compared, octet for octet below our Received line, with what was sent. Its port stays its own while it
is down. The one of tests/support fails in every way there is, and would be what limits a long run.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter, defaultdict
from collections.abc import Callable

from tests.faults.letters import Letters, number_of

_END = b"\r\n.\r\n"


class Primary:
    """``pace``: seconds before each reply to an end of data; ``on_letter``: called when one is whole, before its reply.

    ``received``: how often by number; ``since``: those that came since somebody emptied it; ``changed``: what came
    otherwise than it was sent; ``brought``: the numbers, and when (monotonic) the connection was opened, by the
    client's address; ``begun``: when that client said MAIL for the last time.
    """

    def __init__(self, letters: Letters, host: str = "127.0.0.1", port: int = 0) -> None:
        self.letters = letters
        self.pace = 0.0
        self.on_letter: Callable[[], None] = lambda: None
        self.received: Counter[int] = Counter()
        self.since: set[int] = set()
        self.changed: list[str] = []
        self.brought: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
        self.begun: dict[str, float] = {}
        self.sessions: set[_Session] = set()
        self._server: asyncio.Server | None = None
        # Bound and never listening: nobody else is given the port while we are away.
        self._reserved = socket.socket()
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reserved.bind((host, port))
        self.host, self.port = self._reserved.getsockname()

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def doubled(self) -> int:
        """Copies beyond the first."""
        return self.received.total() - len(self.received)

    async def start(self) -> None:
        """Listen, unless it does."""
        if self._server is not None:
            return
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Session(self), self.host, self.port, backlog=100)

    async def stop(self) -> None:
        """Refuse connections, cut those that are open."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for session in list(self.sessions):
            session.transport.abort()
        await asyncio.sleep(0)

    async def close(self) -> None:
        await self.stop()
        self._reserved.close()

    def take(self, client: str, opened: float, to: str, content: bytes) -> None:
        """Count a letter that is whole."""
        number = number_of(to)
        if number is None or _below_received(content) != self.letters.content(number):
            self.changed.append(to)
        else:
            self.received[number] += 1
            self.since.add(number)
            self.brought[client].append((number, opened))
        self.on_letter()


class _Session(asyncio.Protocol):
    def __init__(self, primary: Primary) -> None:
        self.transport: asyncio.Transport
        self._primary = primary
        self._client, self._opened = "", time.monotonic()
        self._buffer = bytearray()
        self._to: list[str] = []
        self._content = False
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self._client = transport.get_extra_info("peername")[0]
        self._primary.sessions.add(self)
        self.transport.write(b"220 mail.gold.example ESMTP\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        self._primary.sessions.discard(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._go_on()

    def _go_on(self) -> None:
        while not self._paused and not self.transport.is_closing():
            if self._content:
                end = self._buffer.find(_END)
                if end < 0:
                    return
                content = bytes(self._buffer[: end + 2]).replace(b"\r\n..", b"\r\n.")
                del self._buffer[: end + len(_END)]
                self._content = False
                for to in self._to:
                    self._primary.take(self._client, self._opened, to, content)
                if self._primary.pace:
                    self._paused = True
                    asyncio.get_running_loop().call_later(self._primary.pace, self._resume)
                    return
                self.transport.write(b"250 2.0.0 Taken\r\n")
                continue
            end = self._buffer.find(b"\r\n")
            if end < 0:
                return
            line = bytes(self._buffer[:end]).decode("latin-1")
            del self._buffer[: end + 2]
            self.transport.write(self._answer(line))
            if line[:4].upper() == "QUIT":
                self.transport.close()

    def _resume(self) -> None:
        if self.transport.is_closing():
            return
        self._paused = False
        self.transport.write(b"250 2.0.0 Taken\r\n")
        self._go_on()

    def _answer(self, line: str) -> bytes:
        match line[:4].upper():
            case "EHLO":
                return b"250-mail.gold.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 104857600\r\n"
            case "MAIL" | "RSET":
                if line[0] in "Mm":
                    self._primary.begun[self._client] = time.monotonic()
                self._to = []
                return b"250 2.0.0 Ok\r\n"
            case "RCPT":
                self._to.append(line[line.index("<") + 1 : line.index(">")])
                return b"250 2.1.5 Ok\r\n"
            case "DATA":
                self._content = True
                return b"354 Go ahead\r\n"
            case "QUIT":
                return b"221 2.0.0 Bye\r\n"
            case _:
                return b"502 5.5.1 What?\r\n"


def _below_received(content: bytes) -> bytes:
    """Without the header field on top, which is ours."""
    end = content.find(b"\r\n") + 2
    while content[end : end + 1] in (b" ", b"\t"):
        end = content.find(b"\r\n", end) + 2
    return content[end:]
