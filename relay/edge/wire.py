"""The dialogue's frame: commands read one by one, each answered once, and what is said where something goes wrong.

A subclass of aiosmtpd's SMTP that keeps its shape (a task for each session, an ``smtp_`` method for each command, its
small commands) and replaces its transport side by :mod:`relay.edge.connection`: nothing is inspected or logged for
each session or command.

Promises: each command gets one reply; replies carry enhanced status codes (RFC 2034); an unexpected error is a 451 with
the transaction reset, or before the greeting a 421, and never told to the client; a client that is waited for too long
gets 421.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar

from aiosmtpd.smtp import SMTP

from relay import events
from relay.clock import Clock
from relay.edge.connection import Connection, Ending, Gone
from relay.edge.lines import BadLine
from relay.edge.refusals import BROKEN, FAULT, LATE, STOPPED, TIRED, line
from relay.errors import FOLLOWS, EdgeError, Rejected
from relay.mail import Reply

IN_A_ROW = 64
"""Pipelined commands that are answered before others have their turn."""

_MAIL_COMMANDS = (b"MAIL", b"RCPT", b"DATA", b"BDAT")
_ENHANCED = {"250": "2.0.0", "252": "2.0.0", "501": "5.5.4", "502": "5.5.1", "503": "5.5.1"}


class Wire(Connection, SMTP):
    """One session. Subclasses say what the commands do.

    ``commands``: the method for each verb that is served. ``greeting``: the banner. ``timeout``: seconds;
    ``most_errors``: commands refused for good.
    """

    commands: ClassVar[Mapping[bytes, Callable[[Any, str], Awaitable[None]]]]

    def __init__(self, clock: Clock, greeting: bytes, timeout: float, most_errors: int) -> None:
        Connection.__init__(
            self, clock, timeout, most_errors
        )  # not SMTP's: that inspects every method for each session
        self._greeting = greeting
        self._handle_hooks = {}  # of aiosmtpd, which asks it in each of its commands

    async def push(self, status: Any) -> None:
        """Reply as aiosmtpd's own commands do; they lack the enhanced status codes."""
        code, _, text = status.partition(" ")
        self.say(f"{code} {_ENHANCED[code]} {text}\r\n".encode("ascii", "replace"))

    async def opening(self) -> None:
        """Whatever must be before the greeting. Raises Gone, Ending."""

    def note(self, reply: Reply, said: bytes, reason: str = "") -> None:
        """The client was refused; ``said``: its command, empty where there was none; ``reason``: as an EdgeError's."""

    async def reset(self) -> None:
        """Forget the transaction."""

    async def run(self) -> None:
        try:
            await self.opening()
            self.say(self._greeting)
            while True:
                await self._serve()
        except Gone:
            pass
        except Ending as ending:
            self.say(line(ending.reply))
            if not ending.reply.positive:
                self.note(ending.reply, ending.said, ending.reason)
        except Exception as error:  # outside of any command
            events.fault("edge", error)
            self.say(line(BROKEN))
        except asyncio.CancelledError:
            self.say(line(STOPPED))
            raise
        finally:
            try:
                await self.reset()
            finally:
                self.end()

    async def _serve(self) -> None:
        """Answer one command."""
        said = b""
        try:
            said = await self._command()
            verb, _, argument = said.partition(b" ")
            verb = verb.upper()
            command = self.commands.get(verb)
            if command is None:
                raise Rejected(500, "5.5.1", "No such command")
            if verb not in _MAIL_COMMANDS and not self.patience.junk():
                raise Ending(TIRED, "errors")
            await command(self, _text(argument))
        except BadLine as refusal:
            self._refuse(refusal.reply, refusal.said)
        except EdgeError as refusal:
            self._refuse(refusal.reply, said, refusal.reason)
        except Gone:
            raise
        except Ending as ending:
            ending.said = said
            # Whoever was too slow has had its time.
            self._interrupted = bool(said) and not ending.reply.positive and ending.reply is not LATE
            raise
        except Exception as error:
            events.fault("edge", error)
            await self.reset()
            self._refuse(FAULT, said)

    def _refuse(self, reply: Reply, said: bytes, reason: str = "") -> None:
        """Say no; too often, and the session ends (RFC 5321 7.8)."""
        # An honest client that pipelines says all of a message whose sender is refused: that is one refusal, not many.
        follows = reason == FOLLOWS
        if self.patience.lost or (follows and not self.patience.junk()):
            self._interrupted = True
            raise Ending(TIRED, "errors", said)
        self.say(line(reply))
        if follows:
            return
        if reply.permanent or reply is FAULT:
            self.patience.error()
        else:
            self.patience.deferral()
        self.note(reply, said, reason)

    async def _command(self) -> bytes:
        """The next command without its CRLF. Raises BadLine where it is none; Gone, Ending."""
        self._in_message = False
        if self._leaving:
            raise Ending(STOPPED)
        self._in_a_row += 1
        if self._in_a_row > IN_A_ROW:
            self._in_a_row = 0
            self.flush()
            await asyncio.sleep(0)
        command = self.lines.command()
        if command is None:
            self.patience.wait(self.clock.monotonic())
        while command is None:
            await self.more()
            command = self.lines.command()
        return command


def _text(argument: bytes) -> str:
    try:
        return argument.decode().strip(" \t")
    except UnicodeDecodeError:
        raise Rejected(501, "5.5.2", "Commands should be in ASCII or UTF-8") from None
