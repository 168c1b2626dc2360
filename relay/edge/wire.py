"""The line side of a session: octets in, commands out, replies back, TLS, time-outs, and one orderly end.

A subclass of aiosmtpd's SMTP that keeps its shape (a task for each session, an ``smtp_`` method for each command, its
small commands) and replaces its transport side: nothing is inspected or logged for each session or command, input is
read in whatever chunks it comes, and a client that goes away cancels nothing; its session ends by itself once what was
begun is done.

Promises: CRLF alone ends a command, and none has NUL, CR or LF in it; each command gets one reply, and those to
pipelined commands leave together (RFC 2920 3.2); replies carry enhanced status codes (RFC 2034); an unexpected error
is a 451 with the transaction reset, and never told to the client; a client that is waited for too long gets 421.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar, cast

from aiosmtpd.smtp import SMTP

from relay import events
from relay.clock import Clock
from relay.errors import Deferred, EdgeError, Rejected
from relay.mail import Reply

COMMAND_LIMIT = 4096
"""Octets of a command line (RFC 5321 4.5.3.1.4 wants 512, and each extension more)."""
INPUT_LIMIT = 64 * 1024
"""Octets that may wait unread before the client has to pause."""
MOST_ERRORS = 20
"""Refused commands without a message in between after which a session is ended."""
MOST_JUNK = 100
"""Commands that lead nowhere (NOOP, RSET, another EHLO) without a message in between."""
PATIENCE = 12
"""Time-outs that a session may last without a message in between."""
SLOWEST = 1024
"""Octets of content a second: whoever keeps to that may take as long as it takes."""
LINGER = 30.0
"""Seconds that a client has to take our last words."""

FAULT = Deferred(451, "4.3.0", "Something went wrong here, try again later")
_LATE = Reply(421, "4.4.2", "Timeout, closing the connection")
_TIRED = Reply(421, "4.7.0", "Too many commands without a message, closing the connection")
_STOPPED = Reply(421, "4.3.2", "Shutting down")

_TOO_LONG = "Line too long"
_MALFORMED = "Commands should end with CRLF and have no NUL, CR or LF in them"

_MAIL_COMMANDS = ("MAIL", "RCPT", "DATA")
_ODD = re.compile(rb"[\0\r\n]")
_ENHANCED = {"250": "2.0.0", "252": "2.0.0", "501": "5.5.4", "502": "5.5.1", "503": "5.5.1"}


class Gone(Exception):
    """The client has gone: nobody is there to reply to."""


class Ending(Exception):
    """The session ends with this reply."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


class Wire(SMTP):
    """One session: transport's protocol and task in one. Subclasses say what the commands do.

    ``commands``: the method for each verb that is served. ``greeting``: the banner. ``timeout``: seconds.
    """

    commands: ClassVar[Mapping[bytes, Callable[[Any, str], Awaitable[None]]]]

    def __init__(self, clock: Clock, greeting: bytes, timeout: float) -> None:
        # Not SMTP's own: that inspects every method anew for each session.
        self.loop = asyncio.get_running_loop()
        self.clock = clock
        self.link: asyncio.Transport
        self.encrypted = False
        self.task: asyncio.Task[None]
        self._greeting = greeting
        self._timeout = timeout
        self._errors = 0
        self._junk = 0
        self._input = bytearray()
        self._output = b""
        self._waiter: asyncio.Future[None] | None = None
        self._waits_since = 0.0
        self._deadline = 0.0
        self._expired = False
        self._leaving = False
        self._in_message = False
        self._discarding = False
        self._held_back = False  # the client is made to pause
        self._choked = False  # the client doesn't take our replies
        self._eof = False  # the client sends no more
        self._lost = False  # there is no connection any more
        self._over = False  # ... and no task
        self._handle_hooks = {}  # of aiosmtpd, which asks it in each of its commands

    # --- called by the transport --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = self.link = cast(asyncio.Transport, transport)
        self.renew()
        self.task = self.loop.create_task(self._handle_client())

    def data_received(self, data: bytes) -> None:
        self._input += data
        if len(self._input) > INPUT_LIMIT and not self._held_back:
            self._held_back = True
            self.link.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        """The client sends no more. What it has sent is still answered, where a connection can be half open."""
        self._eof = True
        self._wake()
        return not self.encrypted

    def connection_lost(self, error: Exception | None) -> None:
        self._eof = self._lost = True
        self._choked = False
        self._wake()
        if self._over:
            self.closed()

    def pause_writing(self) -> None:
        self._choked = True

    def resume_writing(self) -> None:
        self._choked = False
        self._wake()

    # --- called by the server -----------------------------------------------------------------------------------------

    def leave(self) -> None:
        """End the session with 421: at once, or after the message that is on its way."""
        self._leaving = True
        if not self._in_message:
            self._wake()

    def abort(self) -> None:
        """Cut the connection, whatever the client hasn't taken yet."""
        self.link.abort()

    def look_at_the_clock(self, now: float) -> None:
        """End the session if its client is waited for and has taken too long. ``now``: monotonic seconds."""
        if self._over and now > self._deadline:
            self.abort()
        elif self._waiter is not None and (now - self._waits_since > self._timeout or now > self._deadline):
            self._expired = True
            self._wake()

    # --- for commands -------------------------------------------------------------------------------------------------

    def say(self, reply: bytes) -> None:
        """Reply; it leaves when nothing more can be done without the client."""
        self._output += reply

    async def push(self, status: Any) -> None:
        """Reply as aiosmtpd's own commands do; they lack the enhanced status codes."""
        code, _, text = status.partition(" ")
        self.say(f"{code} {_ENHANCED[code]} {text}\r\n".encode("ascii", "replace"))

    def flush(self) -> None:
        """Let the replies go."""
        if self._output and not self._lost:
            self.link.write(self._output)
            self._output = b""

    def renew(self) -> None:
        """A message was accepted, or the session is new: what a session may try or take begins anew."""
        self._errors = self._junk = 0
        self._deadline = self.clock.monotonic() + PATIENCE * self._timeout

    async def chunk(self) -> bytearray:
        """What has arrived of a message's content. Raises Gone, Ending."""
        self._in_message = True
        if not self._input:
            self._waits_since = self.clock.monotonic()
            await self._more()
        chunk, self._input = self._input, bytearray()
        return chunk

    def content_kept(self, size: int) -> None:
        """Progress was made: ``size`` octets of content."""
        self._deadline += size / SLOWEST

    def content_ended(self, behind: bytes) -> None:
        """The message is over; ``behind``: what came after its end, commands again."""
        self._input[:0] = behind

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Go on encrypted; what was sent ahead is dropped (RFC 3207 section 4.2). Raises Gone where that fails."""
        self.flush()
        self._input.clear()
        if self._eof:
            raise Gone
        try:
            link = await self.loop.start_tls(
                self.link, self, context, server_side=True, ssl_handshake_timeout=min(60.0, self._timeout)
            )
        except (OSError, ConnectionError) as error:
            raise Gone from error
        if link is None:
            raise Gone
        self.transport = self.link = link
        self.encrypted = True

    # --- the session --------------------------------------------------------------------------------------------------

    def closed(self) -> None:
        """The session is over and its connection closed; called once."""

    def note(self, reply: Reply, verb: str) -> None:
        """A command was refused, or with a ``verb`` that is empty, something that never became one."""

    def _set_rset_state(self) -> None:
        """Forget the transaction."""

    async def _handle_client(self) -> None:
        try:
            self.say(self._greeting)
            while True:
                await self._serve()
        except Gone:
            pass
        except Ending as ending:
            self.say(line(ending.reply))
            if not ending.reply.positive:
                self.note(ending.reply, "")
        except asyncio.CancelledError:
            self.say(line(_STOPPED))
            raise
        finally:
            self._over = True
            self._close()

    def _close(self) -> None:
        if self._lost:
            self.closed()
            return
        self.flush()
        self.link.close()
        self._deadline = self.clock.monotonic() + LINGER

    async def _serve(self) -> None:
        """Answer one command."""
        verb = ""
        try:
            name, _, argument = (await self._command_line()).partition(b" ")
            command = self.commands.get(name.upper())
            if command is None:
                raise Rejected(500, "5.5.1", "No such command")
            verb = name.decode().upper()
            if verb not in _MAIL_COMMANDS:
                self._count_junk()
            await command(self, argument.decode().strip(" \t"))
        except EdgeError as refusal:
            self.refuse(refusal, verb)
        except UnicodeDecodeError:
            self.refuse(Rejected(501, "5.5.2", "Commands should be in ASCII or UTF-8"), verb)
        except (Gone, Ending):
            raise
        except Exception as error:
            events.fault("edge", error)
            self._set_rset_state()
            self.refuse(FAULT, verb)

    def refuse(self, refusal: EdgeError, verb: str) -> None:
        """Say no. What is refused for good counts as an error (RFC 5321 7.8)."""
        self._errors += isinstance(refusal, Rejected) or refusal is FAULT
        self.say(line(refusal.reply))
        self.note(refusal.reply, verb)

    def _count_junk(self) -> None:
        if self._junk >= MOST_JUNK:
            raise Ending(_TIRED)
        self._junk += 1

    async def _command_line(self) -> bytes:
        """The next command without its CRLF. Raises Rejected where it is none; Gone, Ending."""
        self._in_message = False
        if self._leaving:
            raise Ending(_STOPPED)
        if self._discarding:
            await self._discard_line()
        end = self._input.find(b"\r\n")
        if end < 0:
            self._waits_since = self.clock.monotonic()
        while end < 0:
            if len(self._input) > COMMAND_LIMIT or b"\n" in self._input:
                # Told at once: a client that never sends a CRLF would wait for ever. The rest of it is no command.
                self._discarding = True
                raise Rejected(500, "5.5.2", _TOO_LONG if len(self._input) > COMMAND_LIMIT else _MALFORMED)
            await self._more()
            end = self._input.find(b"\r\n")
        line = bytes(self._input[:end])
        del self._input[: end + 2]
        if self._errors >= MOST_ERRORS:
            raise Ending(_TIRED)
        if end > COMMAND_LIMIT:
            raise Rejected(500, "5.5.2", _TOO_LONG)
        if _ODD.search(line):
            raise Rejected(500, "5.5.2", _MALFORMED)
        return line

    async def _discard_line(self) -> None:
        self._waits_since = self.clock.monotonic()
        while (end := self._input.find(b"\r\n")) < 0:
            del self._input[:-1]
            await self._more()
        del self._input[: end + 2]
        self._discarding = False

    async def _more(self) -> None:
        """Let the replies go and wait for more input. Raises Gone, Ending."""
        self.flush()
        have = len(self._input)
        while True:
            if self._expired:
                raise Ending(_LATE)
            if self._leaving and not self._in_message:
                raise Ending(_STOPPED)
            if not self._choked:
                if len(self._input) > have:
                    return
                if self._eof:
                    raise Gone
                if self._held_back:
                    self._held_back = False
                    self.link.resume_reading()
            self._waiter = self.loop.create_future()
            await self._waiter
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def line(reply: Reply) -> bytes:
    """``reply`` as it goes over the line."""
    return f"{reply}\r\n".encode("ascii", "replace")
