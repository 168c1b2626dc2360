"""The language of SMTP as a client hears and speaks it (RFC 5321, 1870, 2034, 2920, 3461, 6152, 6531).

Pure: bytes go in, values come out, and the other way round. Nothing here knows sockets, time or the order of things.

- :class:`ReplyParser` turns bytes, however they are cut, into replies, and what is no SMTP into :class:`Garbage`.
- :class:`Offers` is what a primary can do, read from its answer to EHLO.
- :func:`refusal`, :func:`mail_command` and :func:`rcpt_command` say what may be asked of it, and how. What a primary
  doesn't offer is left out (BODY=, DSN), never changed in the message; what can't be left out is refused here.
"""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from relay.mail import Envelope, Recipient, Reply

MAX_REPLY = 64 * 1024
"""Octets of one reply, all its lines together. RFC 5321 4.5.3.1.5 asks for 512 a line; a longer text is no reply."""

MAX_TEXT = 1000
"""Characters of a reply's text that are kept."""

_LINE = re.compile(rb"([0-9]{3})(?:([ -])(.*))?", re.DOTALL)
_ENHANCED = re.compile(r"([245])\.[0-9]{1,3}\.[0-9]{1,3}(?=\s|$)")
_SIZE = re.compile(r"[0-9]{1,18}")  # what is longer bounds nothing, and fits in no column
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Lines(NamedTuple):
    """A reply as it was spoken: its code (that of the last line) and the text of each line, control characters gone."""

    code: int
    lines: tuple[str, ...]

    @property
    def reply(self) -> Reply:
        """As a value: the lines joined to one, the enhanced status code split off (RFC 2034)."""
        return _reply(self)


@lru_cache(maxsize=64)  # a server says the same to MAIL, RCPT and DATA again and again
def _reply(said: Lines) -> Reply:
    enhanced = ""
    text = said.lines[0]
    if (match := _ENHANCED.match(text)) and int(match[1]) == said.code // 100:  # the classes agree (RFC 2034 4)
        enhanced = match[0]
        text = text[match.end() :].lstrip()
    for more in said.lines[1:]:
        text = f"{text} {more.removeprefix(enhanced).lstrip()}".strip()
    return Reply(said.code, enhanced, text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…")


@dataclass(frozen=True, slots=True)
class Garbage:
    """What came is no reply; ``text`` says what it was. Nothing that follows can be trusted."""

    text: str


class ReplyParser:
    """Cuts a stream of bytes into replies. A bare LF ends a line as CRLF does; a bare CR is a blank in its text."""

    def __init__(self) -> None:
        self._rest = b""
        self._lines: list[str] = []
        self._size = 0

    @property
    def partial(self) -> bool:
        """Whether a reply has begun and not ended."""
        return bool(self._rest or self._lines)

    def feed(self, data: bytes) -> list[Lines | Garbage]:
        """The replies that ``data`` completes, in order. Nothing comes after Garbage: the parser is of no more use."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        found: list[Lines | Garbage] = []
        for line in lines:
            self._size += len(line) + 1
            if self._size > MAX_REPLY:
                break
            match = _LINE.fullmatch(line.removesuffix(b"\r"))
            if match is None:
                found.append(Garbage(f"no SMTP reply: {_printable(line[:80])!r}"))
                return found
            code, separator, text = match.groups()
            self._lines.append(_printable(text) if text else "")
            if separator != b"-":
                found.append(Lines(int(code), tuple(self._lines)))
                self._lines.clear()
                self._size = 0
        if self._size + len(self._rest) > MAX_REPLY:
            found.append(Garbage(f"a reply of more than {MAX_REPLY} octets"))
        return found


def _printable(raw: bytes) -> str:
    text = raw.decode("utf-8", "replace")
    if not text.isprintable():
        text = "".join(character if character.isprintable() else " " for character in text)
    return text.strip()


class Extension(StrEnum):
    """What may be left unused though it is offered."""

    CHUNKING = "CHUNKING"
    XCLIENT = "XCLIENT"
    XFORWARD = "XFORWARD"


@dataclass(frozen=True, slots=True)
class Offers:
    """What a primary says it can do. ``Offers()`` is what HELO leaves: nothing."""

    size: int | None = None
    """Octets it takes at most (RFC 1870); 0: no limit of its own; None: it didn't say."""
    pipelining: bool = False
    eightbitmime: bool = False
    smtputf8: bool = False
    starttls: bool = False
    chunking: bool = False
    dsn: bool = False
    enhancedstatuscodes: bool = False
    xclient: tuple[str, ...] = ()
    """The attributes that XCLIENT may carry, in upper case; empty: not for us."""
    xforward: tuple[str, ...] = ()

    def without(self, extensions: Container[Extension]) -> Offers:
        """The same, but for those."""
        return replace(
            self,
            chunking=self.chunking and Extension.CHUNKING not in extensions,
            xclient=() if Extension.XCLIENT in extensions else self.xclient,
            xforward=() if Extension.XFORWARD in extensions else self.xforward,
        )


def offers_of(lines: tuple[str, ...]) -> Offers:
    """What the lines of an answer to EHLO offer; the first is a greeting (RFC 5321 4.1.1.1)."""
    words = [line.upper().split() for line in lines[1:]]
    said = {keyword: parameters for keyword, *parameters in filter(None, words)}
    size = said.get("SIZE")
    return Offers(
        size=None if size is None else int(size[0]) if size and _SIZE.fullmatch(size[0]) else 0,
        pipelining="PIPELINING" in said,
        eightbitmime="8BITMIME" in said,
        smtputf8="SMTPUTF8" in said,
        starttls="STARTTLS" in said,
        chunking="CHUNKING" in said,
        dsn="DSN" in said,
        enhancedstatuscodes="ENHANCEDSTATUSCODES" in said,
        xclient=tuple(said.get("XCLIENT", ())),
        xforward=tuple(said.get("XFORWARD", ())),
    )


def refusal(envelope: Envelope, offers: Offers, size: int | None) -> Reply | None:
    """Our own reply to a message that the primary can't take; None where it may be tried. ``size`` in octets."""
    if not offers.smtputf8 and (
        envelope.smtputf8
        or not envelope.sender.isascii()
        or not all(recipient.address.isascii() for recipient in envelope.recipients)
    ):
        return Reply(550, "5.6.7", "The message needs SMTPUTF8, which the primary does not offer")  # RFC 6531 3.2
    if offers.size and size is not None and size > offers.size:
        text = f"The message has {size} octets, and the primary takes {offers.size}"
        return Reply(552, "5.3.4", text)  # RFC 1870 6.1
    return None


def mail_command(envelope: Envelope, offers: Offers, size: int | None) -> bytes:
    """MAIL with the parameters that are both called for and offered. Raises ValueError for a control character."""
    command = f"MAIL FROM:<{envelope.sender}>"
    if offers.size is not None and size is not None:
        command += f" SIZE={size}"
    if offers.eightbitmime and envelope.body != "7BIT":
        command += f" BODY={envelope.body}"
    if offers.smtputf8 and envelope.smtputf8:
        command += " SMTPUTF8"
    if offers.dsn:
        if envelope.ret is not None:
            command += f" RET={envelope.ret}"
        if envelope.envid is not None:
            command += f" ENVID={envelope.envid}"
    return command_line(command)


def rcpt_command(recipient: Recipient, offers: Offers) -> bytes:
    """RCPT with what DSN asked for it, where that is offered. Raises ValueError for a control character."""
    command = f"RCPT TO:<{recipient.address}>"
    if offers.dsn:
        if recipient.notify is not None:
            command += f" NOTIFY={recipient.notify}"
        if recipient.orcpt is not None:
            command += f" ORCPT={recipient.orcpt}"
    return command_line(command)


def command_line(text: str) -> bytes:
    """One command as it goes out. Raises ValueError for a control character: it could be a second command."""
    if _CONTROL.search(text):
        raise ValueError(f"a control character in a command: {text!r}")
    return text.encode("utf-8", "surrogateescape") + b"\r\n"
