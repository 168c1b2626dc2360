"""One session of the scripted primary (tests/support/primary.py): what it hears, answers and takes."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from relay.mail import Reply

if TYPE_CHECKING:
    from tests.support.primary import ScriptedPrimary

END_OF_DATA = b"\r\n.\r\n"
COMMAND = re.compile(r"^(?:MAIL FROM|RCPT TO):\s*<(?P<address>.*)>(?P<parameters>(?: [^<>]*)?)$", re.IGNORECASE)


class Fault(Enum):
    """An answer that is none."""

    HANG = "hang"
    DROP = "drop"


HANG = Fault.HANG
DROP = Fault.DROP

Answer: TypeAlias = Reply | bytes | Fault | None
Script: TypeAlias = Answer | Callable[..., Answer | Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Taken:
    """A message that has reached the primary as a whole.

    ``content`` is what stood between 354 and the dot, unstuffed, its last CRLF included, or in the chunks.
    ``recipients`` are the accepted ones alone, ``rcpt_parameters`` theirs. Parameters are as written, names in upper
    case: {"SIZE": "4096"}.
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
    chunks: tuple[int, ...]
    """The octets of each BDAT; empty where it came by DATA."""
    said_client: dict[str, str]
    """What XFORWARD and XCLIENT have said of the original client, decoded, by upper-case name."""
    answered: bool
    """False where the answer to the dot was HANG or DROP: the client can't know that it was taken."""


class EndOfSession(Exception):
    """The session is over."""


class Session:
    """Carries out one session as the primary's scripts say."""

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
        self.impersonated: dict[str, str] = {}
        self.forget()

    def forget(self) -> None:
        self.sender: str | None = None
        self.mail_parameters: dict[str, str] = {}
        self.recipients: list[tuple[str, dict[str, str]]] = []
        self.forwarded: dict[str, str] = {}
        self.chunks: list[bytes] | None = None
        self.discards = False

    async def run(self) -> None:
        try:
            await self.answer(self.primary.on_banner, usual=b"220 primary.test ESMTP\r\n")
            while True:
                await self.command(await self.line())
        except EndOfSession:
            pass

    async def command(self, line: str) -> None:
        primary = self.primary
        primary.commands.append(line)
        verb, _, rest = line.partition(" ")
        verb = verb.upper()
        last_of_group = verb in {"EHLO", "HELO", "DATA", "STARTTLS", "XCLIENT", "QUIT", "NOOP"}
        if verb == "BDAT":
            pass  # its octets come behind it
        elif self.buffer and (last_of_group or "PIPELINING" not in primary.offers):
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
                if self.sender is not None:
                    await self.send(b"503 5.5.1 Nested MAIL\r\n")
                elif await self.answer(primary.on_mail, match["address"], usual=b"250 2.1.0 Ok\r\n"):
                    self.sender = match["address"]
                    self.mail_parameters = _parameters(match["parameters"])
            case "RCPT" if match := COMMAND.match(line):
                if self.sender is None:
                    await self.send(b"503 5.5.1 MAIL first\r\n")
                elif await self.answer(primary.on_rcpt, match["address"], usual=b"250 2.1.5 Ok\r\n"):
                    self.recipients.append((match["address"], _parameters(match["parameters"])))
            case "DATA":
                await self.data()
            case "BDAT" if primary.offers_keyword("CHUNKING"):
                await self.bdat(rest)
            case "XFORWARD" if primary.offers_keyword("XFORWARD"):
                said = _parameters(rest)
                if self.sender is not None:
                    await self.send(b"503 5.5.1 In a transaction\r\n")
                elif await self.answer(primary.on_xforward, said, usual=b"250 2.0.0 Ok\r\n"):
                    self.forwarded |= _decoded(said)
            case "XCLIENT" if self.may_impersonate():
                said = _parameters(rest)
                if await self.answer(primary.on_xclient, said, usual=b"220 primary.test ESMTP\r\n"):
                    self.impersonated |= _decoded(said)
                    self.helo = ""
                    self.forget()
            case "RSET":
                self.forget()
                await self.send(b"250 2.0.0 Ok\r\n")
            case "NOOP":
                await self.send(b"250 2.0.0 Ok\r\n")
            case "QUIT":
                await self.answer(self.primary.on_quit, usual=b"221 2.0.0 Bye\r\n")
                raise EndOfSession
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
        await self.conclude(await self.content())

    async def conclude(self, content: bytes) -> None:
        """Keep the message, or don't, and answer its end."""
        primary = self.primary
        answer = await _ask(primary.on_content, self.taken(content, answered=True))
        if answer is None and not self.recipients:
            answer = Reply(554, "5.5.1", "No valid recipients")
        elif answer is None or isinstance(answer, Fault) or (isinstance(answer, Reply) and answer.positive):
            primary.messages.append(self.taken(content, answered=not isinstance(answer, Fault)))
        else:
            primary.refused.append(self.taken(content, answered=True))
        self.forget()
        await self.answer(answer, usual=b"250 2.0.0 Taken\r\n")

    async def bdat(self, argument: str) -> None:
        """One chunk, and its reply; after a refused one all others are discarded until LAST or RSET."""
        primary = self.primary
        size, _, last = argument.partition(" ")
        begun = self.chunks is not None
        answer = await _ask(primary.on_bdat, argument)
        if isinstance(answer, Fault) or (isinstance(answer, Reply) and not answer.positive):
            await self.answer(answer, usual=b"")  # what follows is read as commands, by a server that doesn't know BDAT
            return
        chunk = await self.octets(int(size))
        if self.sender is None or not self.recipients or self.discards:
            self.discards = not last
            await self.send(b"503 5.5.1 Discarded\r\n" if begun else b"554 5.5.1 No valid recipients\r\n")
            if last:
                self.forget()
            return
        self.chunks = [*(self.chunks or ()), chunk]
        if last:
            content = b"".join(self.chunks)
            if len({content.count(b"\r\n"), content.count(b"\r"), content.count(b"\n")}) > 1:
                primary.violations.append("a bare CR or LF in content")
            await self.conclude(content)
        elif not await self.answer(primary.on_chunk, chunk, usual=b"250 2.0.0 Ok\r\n"):
            self.discards = True

    async def octets(self, size: int) -> bytes:
        """What BDAT has announced."""
        limit = self.primary.drop_content_after
        before = sum(map(len, self.chunks or ()))
        while True:
            if limit is not None and before + min(len(self.buffer), size) > limit:
                self.transport.abort()
                raise EndOfSession
            if len(self.buffer) >= size:
                break
            await self.more()
        octets = bytes(self.buffer[:size])
        del self.buffer[:size]
        return octets

    def may_impersonate(self) -> bool:
        """As Postfix has it: whoever has become somebody else may do only what that one may."""
        return self.primary.offers_keyword("XCLIENT") and not (self.primary.xclient_once and self.impersonated)

    async def content(self) -> bytes:
        """Everything up to the dot; the first line may be it (an empty message)."""
        limit = self.primary.drop_content_after
        self.buffer[:0] = b"\r\n"
        searched = 0
        while True:
            end = self.buffer.find(END_OF_DATA, searched)
            if limit is not None and (len(self.buffer) if end < 0 else end) > limit:
                self.transport.abort()
                raise EndOfSession
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
            chunks=tuple(map(len, self.chunks or ())),
            said_client=self.impersonated | self.forwarded,
            connection=self.number,
            answered=answered,
        )

    def greeting(self, verb: str) -> bytes:
        if verb == "HELO":
            return b"250 primary.test\r\n"
        offers = [line for line in self.primary.offers if line.split()[0] != "XCLIENT" or self.may_impersonate()]
        lines = ["primary.test", *offers]
        if (self.primary.tls or self.primary.breaks_tls) and not self.encrypted:
            lines.append("STARTTLS")
        return b"".join(
            f"250{' ' if index == len(lines) - 1 else '-'}{line}\r\n".encode() for index, line in enumerate(lines)
        )

    async def start_tls(self) -> None:
        if self.primary.breaks_tls or self.primary.tls is None:
            self.writer.write(b"250 this is no handshake\r\n" * 4)
            await self.writer.drain()
            raise EndOfSession
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
                    raise EndOfSession
                return answer.positive
            case Fault.HANG:
                self.transport.resume_reading()
                while await self.reader.read(2**16):
                    pass
                raise EndOfSession
            case Fault.DROP:
                self.transport.abort()
                raise EndOfSession

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
            raise EndOfSession
        self.buffer += piece


async def _ask(script: Script, *about: Any) -> Answer:
    answer = script(*about) if callable(script) else script
    if inspect.isawaitable(answer):
        return await answer
    return answer


def _decoded(said: dict[str, str]) -> dict[str, str]:
    """xtext (RFC 3461 section 4) as what it stands for."""
    return {name: re.sub(r"\+([0-9A-F]{2})", lambda two: chr(int(two[1], 16)), value) for name, value in said.items()}


def _parameters(text: str) -> dict[str, str]:
    pairs = (word.partition("=") for word in text.split())
    return {name.upper(): value for name, _, value in pairs}
