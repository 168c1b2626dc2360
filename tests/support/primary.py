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
    primary.on_content   = DROP           # the message is kept (``answered`` is False), then the connection is cut

What it does besides answering:

    primary.offers       the lines of its EHLO reply: without "PIPELINING" early commands are noted in ``violations``
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
import inspect
import re
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias, cast

from relay.mail import Reply


class Fault(Enum):
    """An answer that is none."""

    HANG = "hang"
    DROP = "drop"


HANG = Fault.HANG
DROP = Fault.DROP

Answer: TypeAlias = Reply | bytes | Fault | None
Script: TypeAlias = Answer | Callable[..., Answer | Awaitable[Answer]]

END_OF_DATA = b"\r\n.\r\n"
COMMAND = re.compile(r"^(?:MAIL FROM|RCPT TO):\s*<(?P<address>.*)>(?P<parameters>(?: [^<>]*)?)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Taken:
    """A message that has reached the primary as a whole.

    ``content`` is what stood between 354 and the dot, unstuffed, its last CRLF included. ``recipients`` are the
    accepted ones alone, ``rcpt_parameters`` theirs. Parameters are as written, names in upper case: {"SIZE": "4096"}.
    """

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    mail_parameters: dict[str, str]
    rcpt_parameters: tuple[dict[str, str], ...]
    helo: str
    tls: bool
    connection: int
    """The ordinal number of the connection that brought it, from 1."""
    answered: bool
    """False where the answer to the dot was HANG or DROP: the client can't know that it was taken."""


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

        self.on_banner: Script = None
        self.on_helo: Script = None
        self.on_starttls: Script = None
        self.on_mail: Script = None
        self.on_rcpt: Script = None
        self.on_data: Script = None
        self.on_content: Script = None

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
        self._sessions: dict[_Session, asyncio.Task[None]] = {}

    async def __aenter__(self) -> ScriptedPrimary:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

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
        session = _Session(self, reader, writer, self.connections)
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


class _End(Exception):
    """The session is over."""


class _Session:
    def __init__(
        self, primary: ScriptedPrimary, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        self.primary = primary
        self.reader = reader
        self.writer = writer
        self.transport = cast("asyncio.Transport", writer.transport)
        self.number = number
        self.buffer = bytearray()
        self.helo = ""
        self.encrypted = False
        self.forget()

    def forget(self) -> None:
        self.sender: str | None = None
        self.mail_parameters: dict[str, str] = {}
        self.recipients: list[tuple[str, dict[str, str]]] = []

    async def run(self) -> None:
        try:
            await self.answer(self.primary.on_banner, usual=b"220 primary.test ESMTP\r\n")
            while True:
                await self.command(await self.line())
        except _End:
            pass

    async def command(self, line: str) -> None:
        primary = self.primary
        primary.commands.append(line)
        verb, _, rest = line.partition(" ")
        verb = verb.upper()
        last_of_group = verb in {"EHLO", "HELO", "DATA", "STARTTLS", "QUIT", "NOOP"}
        if self.buffer and (last_of_group or "PIPELINING" not in primary.offers):
            primary.violations.append(f"ahead of the reply to {line!r}: {bytes(self.buffer[:40])!r}")
        match verb:
            case "EHLO" | "HELO":
                self.helo = rest
                self.forget()
                await self.answer(primary.on_helo, rest, usual=self.greeting(verb))
            case "STARTTLS" if primary.tls or primary.breaks_tls:
                # The handshake may begin the moment 220 is out: it must not land in the reader of plain lines.
                self.transport.pause_reading()
                if await self.answer(primary.on_starttls, usual=b"220 2.0.0 Go ahead\r\n"):
                    await self.start_tls()
                else:
                    self.transport.resume_reading()
            case "MAIL" if match := COMMAND.match(line):
                if await self.answer(primary.on_mail, match["address"], usual=b"250 2.1.0 Ok\r\n"):
                    self.sender = match["address"]
                    self.mail_parameters = _parameters(match["parameters"])
            case "RCPT" if match := COMMAND.match(line):
                if self.sender is None:
                    await self.send(b"503 5.5.1 MAIL first\r\n")
                elif await self.answer(primary.on_rcpt, match["address"], usual=b"250 2.1.5 Ok\r\n"):
                    self.recipients.append((match["address"], _parameters(match["parameters"])))
            case "DATA":
                await self.data()
            case "RSET":
                self.forget()
                await self.send(b"250 2.0.0 Ok\r\n")
            case "NOOP":
                await self.send(b"250 2.0.0 Ok\r\n")
            case "QUIT":
                await self.send(b"221 2.0.0 Bye\r\n")
                raise _End
            case _:
                await self.send(b"502 5.5.2 Unknown command\r\n")

    async def data(self) -> None:
        primary = self.primary
        if self.sender is None or not (self.recipients or primary.data_anyway):
            await self.send(b"554 5.5.1 No valid recipients\r\n")
            return
        addresses = tuple(address for address, _ in self.recipients)
        if not await self.answer(primary.on_data, addresses, usual=b"354 Go ahead\r\n"):
            return
        content = await self.content()
        answer = await _ask(primary.on_content, self.taken(content, answered=True))
        if answer is None and not self.recipients:
            answer = Reply(554, "5.5.1", "No valid recipients")
        elif answer is None or isinstance(answer, Fault) or (isinstance(answer, Reply) and answer.positive):
            primary.messages.append(self.taken(content, answered=not isinstance(answer, Fault)))
        else:
            primary.refused.append(self.taken(content, answered=True))
        self.forget()
        await self.answer(answer, usual=b"250 2.0.0 Taken\r\n")

    async def content(self) -> bytes:
        """Everything up to the dot; the first line may be it (an empty message)."""
        limit = self.primary.drop_content_after
        self.buffer[:0] = b"\r\n"
        searched = 0
        while True:
            end = self.buffer.find(END_OF_DATA, searched)
            if limit is not None and (len(self.buffer) if end < 0 else end) > limit:
                self.transport.abort()
                raise _End
            if end >= 0:
                break
            searched = max(0, len(self.buffer) - len(END_OF_DATA))
            await self.more()
        stuffed = bytes(self.buffer[: end + 2])
        del self.buffer[: end + len(END_OF_DATA)]
        if stuffed.count(b"\r\n") != stuffed.count(b"\n") or stuffed.count(b"\r\n") != stuffed.count(b"\r"):
            self.primary.violations.append("a bare CR or LF in content")
        return stuffed.replace(b"\r\n..", b"\r\n.").removeprefix(b"\r\n")

    def taken(self, content: bytes, *, answered: bool) -> Taken:
        return Taken(
            sender=self.sender or "",
            recipients=tuple(address for address, _ in self.recipients),
            content=content,
            mail_parameters=self.mail_parameters,
            rcpt_parameters=tuple(parameters for _, parameters in self.recipients),
            helo=self.helo,
            tls=self.encrypted,
            connection=self.number,
            answered=answered,
        )

    def greeting(self, verb: str) -> bytes:
        if verb == "HELO":
            return b"250 primary.test\r\n"
        lines = ["primary.test", *self.primary.offers]
        if (self.primary.tls or self.primary.breaks_tls) and not self.encrypted:
            lines.append("STARTTLS")
        return b"".join(
            f"250{' ' if index == len(lines) - 1 else '-'}{line}\r\n".encode() for index, line in enumerate(lines)
        )

    async def start_tls(self) -> None:
        if self.primary.breaks_tls or self.primary.tls is None:
            self.writer.write(b"250 this is no handshake\r\n" * 4)
            await self.writer.drain()
            raise _End
        await self.writer.start_tls(self.primary.tls)
        self.transport = cast("asyncio.Transport", self.writer.transport)
        self.buffer.clear()
        self.encrypted = True
        self.forget()

    async def answer(self, script: Script, *about: Any, usual: bytes) -> bool:
        """Carry the script out; True where the answer was positive and the session goes on."""
        answer = await _ask(script, *about)
        match answer:
            case None:
                await self.send(usual)
                return True
            case bytes():
                await self.send(answer)
                return answer[:1] in b"23"
            case Reply():
                await self.send(f"{answer}\r\n".encode())
                if answer.code == 421:
                    raise _End
                return answer.positive
            case Fault.HANG:
                self.transport.resume_reading()
                while await self.reader.read(2**16):
                    pass
                raise _End
            case Fault.DROP:
                self.transport.abort()
                raise _End

    async def send(self, reply: bytes) -> None:
        if self.primary.delay:
            await asyncio.sleep(self.primary.delay)
        if self.primary.byte_by_byte:
            for byte in reply:
                self.writer.write(bytes((byte,)))
                await self.writer.drain()
                await asyncio.sleep(0)
        else:
            self.writer.write(reply)
            await self.writer.drain()

    async def line(self) -> str:
        while (end := self.buffer.find(b"\n")) < 0:
            await self.more()
        line = bytes(self.buffer[:end]).removesuffix(b"\r")
        del self.buffer[: end + 1]
        return line.decode("utf-8", "surrogateescape")

    async def more(self) -> None:
        piece = await self.reader.read(2**16)
        if not piece:
            raise _End
        self.buffer += piece


async def _ask(script: Script, *about: Any) -> Answer:
    answer = script(*about) if callable(script) else script
    if inspect.isawaitable(answer):
        return await answer
    return answer


def _parameters(text: str) -> dict[str, str]:
    pairs = (word.partition("=") for word in text.split())
    return {name.upper(): value for name, _, value in pairs}
