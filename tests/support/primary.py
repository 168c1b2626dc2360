"""A customer's mail server for tests: it takes mail over real sockets, remembers it exactly, and fails as it is told.

    primary = ScriptedPrimary()
    await primary.start()                         # on 127.0.0.1 and a free port: primary.port
    ...
    assert [taken.content for taken in primary.messages] == [content]
    await primary.stop()                          # refuses connections and cuts those it has ...
    await primary.start()                         # ... and is back on the same port

or ``async with ScriptedPrimary() as primary:``. The scripts below say how it answers. Each may be changed at any
moment; it holds from the next command on, in sessions that are open too. A script is an answer, or a function (plain
or async) that returns one:

    None                 the usual, positive answer
    Reply(450, "4.2.1", "Greylisted")   that one; after a 421 the connection is closed, as servers do
    b"what ever\\r\\n"     these bytes as they are: garbage, several lines, half a line
    HANG                 no answer; the connection stays open until the client or stop() ends it
    DROP                 no answer; the connection is cut

    primary.on_banner    = Reply(421, "4.3.2", "Too many connections")
    primary.on_banner    = HANG                                          # accepts TCP and is silent
    primary.on_helo      = lambda name: Reply(550, "5.7.1", "Go away")
    primary.on_starttls  = Reply(454, "4.7.0", "Not now")
    primary.on_mail      = lambda sender: Reply(421, "4.3.2", "Going down") if len(primary.messages) > 50 else None
    primary.on_rcpt      = lambda address: Reply(550, "5.1.1", "Nobody") if address.startswith("x") else None
    primary.on_data      = lambda recipients: DROP
    primary.on_content   = lambda taken: Reply(452, "4.3.1", "Disk full")   # the answer to the dot
    primary.on_bdat      = Reply(502, "5.5.1", "What?")   # to "BDAT …" before its octets, which it takes for commands
    primary.on_chunk     = lambda chunk: Reply(452, "4.3.1", "Disk full")  # the answer to one that isn't the last
    primary.on_xforward  = lambda said: Reply(501, "5.5.4", "Syntax")
    primary.on_xclient   = lambda said: Reply(550, "5.7.0", "Not you")
    primary.on_quit      = HANG
    primary.on_content   = DROP           # the message is kept (``answered`` is False), then the connection is cut

What it does besides answering:

    primary.offers       the lines of its EHLO reply: without "PIPELINING" early commands are noted in ``violations``
                         add "CHUNKING", "XFORWARD NAME ADDR …", "XCLIENT NAME ADDR …" and it does that too
    primary.xclient_once XCLIENT is no longer offered to who has used it, as Postfix has it
    primary.tls          an ssl.SSLContext (see tests/support/certificates.py): STARTTLS is offered
    primary.breaks_tls   says 220 to STARTTLS and then talks nonsense
    primary.delay        seconds before each reply
    primary.byte_by_byte each byte of a reply in a segment of its own
    primary.drop_content_after   cut the connection after this many bytes of a message's content
    primary.data_anyway  354 to DATA though every recipient was refused (RFC 2920 3.1 allows it)

It isn't strict: it is there to see what the relay sends, and says yes to most of it.
"""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.primary_session import DROP, HANG, Answer, Fault, Script, Session, Taken
from tests.support.processes import need_root

__all__ = ["DROP", "HANG", "Answer", "Fault", "Script", "ScriptedPrimary", "Taken", "on_port_25"]


class ScriptedPrimary:
    """See above. All attributes may be read and set while it runs."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.host = host
        self.port = 0

        self.offers = ["PIPELINING", "SIZE 104857600", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DSN"]
        self.tls: ssl.SSLContext | None = None
        self.breaks_tls = False
        self.delay = 0.0
        self.byte_by_byte = False
        self.drop_content_after: int | None = None
        self.data_anyway = False
        self.xclient_once = False

        self.on_banner: Script = None
        self.on_helo: Script = None
        self.on_starttls: Script = None
        self.on_mail: Script = None
        self.on_rcpt: Script = None
        self.on_data: Script = None
        self.on_content: Script = None
        self.on_bdat: Script = None
        self.on_chunk: Script = None
        self.on_xforward: Script = None
        self.on_xclient: Script = None
        self.on_quit: Script = None

        self.messages: list[Taken] = []
        """Every message that it took (or took and kept silent about), oldest first."""
        self.refused: list[Taken] = []
        """Messages that came whole and were refused at the dot."""
        self.commands: list[str] = []
        """Every command line of every session, in the order of arrival."""
        self.violations: list[str] = []
        """What a stricter server would have refused: commands ahead of their time, bare CR or LF in content."""
        self.connections = 0
        """How many connections it has accepted since it was made."""

        self._server: asyncio.Server | None = None
        self._reservation: socket.socket | None = None
        self._sessions: dict[Session, asyncio.Task[None]] = {}

    async def __aenter__(self) -> ScriptedPrimary:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def offers_keyword(self, keyword: str) -> bool:
        return any(line.split()[0] == keyword for line in self.offers)

    @property
    def open_connections(self) -> int:
        return len(self._sessions)

    @property
    def address(self) -> str:
        """host:port, as ``--primary`` takes it."""
        return f"{self.host}:{self.port}"

    async def start(self, port: int | None = None) -> None:
        """Listen: on ``port``, or on the port of the last time, or on a free one."""
        if self._reservation is None or port:
            self._reserve(port or 0)
        self._server = await asyncio.start_server(self._serve, self.host, self.port, limit=2**20)

    async def stop(self) -> None:
        """Refuse connections and cut the open ones without a word. The port stays ours: start() returns to it."""
        if self._server is not None:
            self._server.close()
            self._server = None
        await self.drop_connections()

    async def drop_connections(self) -> None:
        """Cut every open connection; go on listening."""
        for session in self._sessions:
            session.transport.abort()
        tasks = [task for task in self._sessions.values() if task is not asyncio.current_task()]  # a script may ask
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def close(self) -> None:
        """stop(), and give up the port."""
        await self.stop()
        if self._reservation is not None:
            self._reservation.close()
            self._reservation = None

    def _reserve(self, port: int) -> None:
        # A second socket, bound and never listening, keeps the port while we are away: nobody else gets it, and a
        # client on loopback can't be given it as its own end and so connect to itself.
        if self._reservation is not None:
            self._reservation.close()
        self._reservation = socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET)
        self._reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reservation.bind((self.host, port))
        self.port = self._reservation.getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        session = Session(self, reader, writer, self.connections)
        task = asyncio.current_task()
        assert task is not None
        self._sessions[session] = task
        try:
            await session.run()
        except (ConnectionError, ssl.SSLError, asyncio.CancelledError):
            pass  # the client has gone, or stop() has ended us: both are ordinary here
        finally:
            del self._sessions[session]
            session.writer.close()


@asynccontextmanager
async def on_port_25() -> AsyncIterator[ScriptedPrimary]:
    """One that an MX record can name, on an address of loopback of its own. Root only."""
    need_root()
    server = ScriptedPrimary(f"127.{random.randint(1, 254)}.{random.randint(1, 254)}.{random.randint(2, 254)}")
    await server.start(25)
    try:
        yield server
    finally:
        await server.close()
