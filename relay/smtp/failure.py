"""What goes wrong on a connection to a primary, and where.

A failure is about the connection: there is none, it is silent, it broke, it talks nonsense, or the primary won't have
us. What a primary answers about a message or a recipient is no failure but a reply (see ``transaction``).
"""

from __future__ import annotations

from enum import StrEnum

from relay.errors import RelayError
from relay.mail import Reply


class Stage(StrEnum):
    """How far the dialogue has come; what a reply answers, or what was waited for."""

    CONNECT = "connect"
    BANNER = "banner"
    EHLO = "EHLO"
    STARTTLS = "STARTTLS"
    XCLIENT = "XCLIENT"
    XFORWARD = "XFORWARD"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    CONTENT = "content"
    """While the content is being sent, when no reply is due."""
    BDAT = "BDAT"
    """A part of the content that isn't its last (RFC 3030)."""
    END_OF_DATA = "end of data"
    RSET = "RSET"
    QUIT = "QUIT"


class Kind(StrEnum):
    """In which way a connection failed."""

    DNS = "dns"
    """The host has no address."""
    REFUSED = "refused"
    """Nobody listens; or, with a ``reply``, the primary said no to the whole session."""
    UNREACHABLE = "unreachable"
    """The network says that there is no way."""
    LOCAL = "local"
    """We ourselves ran out of sockets, ports or memory: nothing is learnt about the primary."""
    TIMEOUT = "timeout"
    CLOSED = "closed"
    """The other side, or we ourselves, ended the connection."""
    PROTOCOL = "protocol"
    """What came is no SMTP, or answers something that wasn't asked."""
    TLS = "tls"


class Failure(RelayError):
    """A connection that can't be used, or not any more; ``str()`` is one plain line.

    ``reply`` is what the primary said, where that ended the session (a 4xx or 5xx to the banner or EHLO, a 421 at any
    time); ``answered`` then is True: it is alive, it just won't have us now.
    """

    def __init__(self, stage: Stage, kind: Kind, text: str, reply: Reply | None = None) -> None:
        super().__init__(text)
        self.stage = stage
        self.kind = kind
        self.text = text
        self.reply = reply

    @property
    def answered(self) -> bool:
        return self.reply is not None

    def __repr__(self) -> str:
        return f"Failure({self.stage!s}, {self.kind!s}, {self.text!r}, {self.reply})"


def closed(stage: Stage | None) -> Failure:
    """The other side ended the connection; None: while nothing was due."""
    if stage is None:
        return Failure(Stage.MAIL, Kind.CLOSED, "the connection was closed while idle")
    where = {Stage.BANNER: "before the banner", Stage.CONTENT: "in the middle of the content"}
    return Failure(stage, Kind.CLOSED, f"the connection was closed {where.get(stage, f'before the reply to {stage}')}")


def timed_out(stage: Stage, seconds: float) -> Failure:
    """Nothing came, or the content didn't get on, for so many seconds."""
    missing = {
        Stage.CONNECT: "no connection",
        Stage.BANNER: "no banner",
        Stage.CONTENT: "the content didn't get on",
    }
    return Failure(stage, Kind.TIMEOUT, f"{missing.get(stage, f'no reply to {stage}')} within {seconds:g} s")
