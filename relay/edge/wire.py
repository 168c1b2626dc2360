"""The line side of a session: octets in, commands out, replies back, TLS, time-outs, and one orderly end.

A subclass of aiosmtpd's SMTP that keeps its shape (a task for each session, an ``smtp_`` method for each command, its
small commands) and replaces its transport side: nothing is inspected or logged for each session or command, input is
read in whatever chunks it comes, and a client that goes away cancels nothing; its session ends by itself once what was
begun is done.

Promises: each command gets one reply, and those to pipelined commands leave together (RFC 2920 3.2); replies carry
enhanced status codes (RFC 2034); an unexpected error is a 451 with the transaction reset, and never told to the
client; a client that is waited for too long gets 421.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar, cast

from aiosmtpd.smtp import SMTP

from relay import events
from relay.clock import Clock
from relay.edge.lines import Lines
from relay.edge.patience import Patience
from relay.edge.refusals import FAULT, LATE, STOPPED, TIRED, line
from relay.errors import FOLLOWS, EdgeError, Rejected
from relay.mail import Reply

INPUT_LIMIT = 64 * 1024
"""Octets that may wait unread before the client has to pause."""
LINGER = 30.0
"""Seconds that a client has to take our last words."""
QUIET = 2.0
"""Seconds of silence after which a client that was interrupted has said all."""
HANDSHAKE = 60.0
"""Seconds that a TLS handshake may take."""
IN_A_ROW = 64
"""Pipelined commands that are answered before others have their turn."""

_MAIL_COMMANDS = (b"MAIL", b"RCPT", b"DATA", b"BDAT")
_ENHANCED = {"250": "2.0.0", "252": "2.0.0", "501": "5.5.4", "502": "5.5.1", "503": "5.5.1"}


class Gone(Exception):
    """The client has gone: nobody is there to reply to."""


class Ending(Exception):
    """The session ends with this reply; ``said``: what it answers; ``reason``: as an EdgeError's."""

    def __init__(self, reply: Reply, reason: str = "", said: bytes = b"") -> None:
        super().__init__(str(reply))
        self.reply = reply
        self.reason = reason
        self.said = said


class Wire(SMTP):
    """One session: transport's protocol and task in one. Subclasses say what the commands do.

    ``commands``: the method for each verb that is served. ``greeting``: the banner. ``timeout``: seconds;
    ``most_errors``: commands refused for good.
    """

    commands: ClassVar[Mapping[bytes, Callable[[Any, str], Awaitable[None]]]]

    def __init__(self, clock: Clock, greeting: bytes, timeout: float, most_errors: int) -> None:
        # Not SMTP's own: that inspects every method anew for each session.
        self.loop = asyncio.get_running_loop()
        self.clock = clock
        self.link: asyncio.Transport
        self.encrypted = False
        self.task: asyncio.Task[None]
        self._greeting = greeting
        self._timeout = timeout
        self.patience = Patience(timeout, most_errors, clock.monotonic())
        self.lines = Lines()
        self._output = b""
        self._waiter: asyncio.Future[None] | None = None
        self._gone_by = self._quiet_by = 0.0
        self._expired = False
        self._leaving = False
        self._in_message = False
        self._standing_by = False
        self._in_a_row = 0
        self._held_back = False  # the client is made to pause
        self._choked = False  # the client doesn't take our replies
        self._eof = False  # the client sends no more
        self._lost = False  # there is no connection any more
        self._over = False  # ... and no task
        self._interrupted = False  # a command led to the end of the session, and the client may be talking still
        self._handle_hooks = {}  # of aiosmtpd, which asks it in each of its commands

    # --- called by the transport --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = self.link = cast(asyncio.Transport, transport)
        self.task = self.loop.create_task(self._handle_client())

    def data_received(self, data: bytes) -> None:
        if self._over:
            self._quiet_by = self.clock.monotonic() + QUIET
            return
        self.lines.feed(data)
        if len(self.lines) > INPUT_LIMIT and not self._held_back:
            self._held_back = True
            self.link.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        """The client sends no more. What it has sent is still answered, where a connection can be half open."""
        self._eof = True
        self._wake()
        return not self.encrypted and not self._over

    def connection_lost(self, error: Exception | None) -> None:
        known, self._eof, self._lost = self._lost, True, True
        self._choked = False
        self._wake()
        if self._over and not known:
            self.closed()

    def pause_writing(self) -> None:
        self._choked = True

    def resume_writing(self) -> None:
        self._choked = False
        self._wake()

    # --- called by the server -----------------------------------------------------------------------------------------

    def leave(self) -> None:
        """End the session with 421: at once, or after the message that is on its way (unless it has yet to wait)."""
        self._leaving = True
        if not self._in_message or self._standing_by:
            self._wake()

    def abort(self) -> None:
        """Cut the connection, whatever the client hasn't taken yet."""
        self.link.abort()

    def look_at_the_clock(self, now: float) -> None:
        """End the session if its client is waited for and has taken too long. ``now``: monotonic seconds."""
        if self._over:
            if now > self._gone_by:
                self.abort()
            elif now > self._quiet_by:
                self.link.close()
        elif self._waiter is not None and self.patience.over(now):
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

    async def chunk(self, most: int | None = None) -> bytearray:
        """What has arrived of a message's content, at most so many octets of it. Raises Gone, Ending."""
        self._in_message = True
        if not self.lines:
            self.patience.wait(self.clock.monotonic())
            await self.more()
        return self.lines.chunk(most)

    async def stand_by(self, ready: asyncio.Future[None], *, more: bool) -> None:
        """Wait for something of ours before we go on, as long as the client does. Raises Gone, Ending.

        A client that has hung up meanwhile won't hear our reply, and sends its message again: nothing is begun for it.
        ``more``: it has said more already, so that it is there for replies although it has closed its side.
        """
        ready.add_done_callback(lambda _: self._wake())
        self.patience.wait(self.clock.monotonic())
        self._standing_by = True
        try:
            while not ready.done():
                if self._expired:
                    raise Ending(LATE)
                if self._leaving:
                    raise Ending(STOPPED)
                if self._lost or (self._eof and not more and not self.lines):
                    raise Gone
                self._waiter = self.loop.create_future()
                await self._waiter
        finally:
            self._waiter = None
            self._standing_by = False

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Go on encrypted; what was sent ahead is dropped (RFC 3207 section 4.2). Raises Gone where that fails."""
        self.flush()
        self.lines.clear()
        if self._eof:
            raise Gone
        limit = min(HANDSHAKE, self._timeout)
        try:
            link = await self.loop.start_tls(self.link, self, context, server_side=True, ssl_handshake_timeout=limit)
        except BaseException as error:
            self._lost = True  # in the middle of a handshake nobody else would tell us
            self.link.abort()
            if isinstance(error, OSError):
                raise Gone from error
            raise
        self.transport = self.link = cast(asyncio.Transport, link)
        self.encrypted = True

    # --- the session --------------------------------------------------------------------------------------------------

    async def opening(self) -> None:
        """Whatever must be before the greeting. Raises Gone, Ending."""

    def closed(self) -> None:
        """The session is over and its connection closed; called once."""

    def note(self, reply: Reply, said: bytes, reason: str = "") -> None:
        """The client was refused; ``said``: its command, empty where there was none; ``reason``: as an EdgeError's."""

    async def reset(self) -> None:
        """Forget the transaction."""

    async def _handle_client(self) -> None:
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
        except asyncio.CancelledError:
            self.say(line(STOPPED))
            raise
        finally:
            try:
                await self.reset()
            finally:
                self._over = True
                self._close()

    def _close(self) -> None:
        if self._lost:
            self.closed()
            return
        self.flush()
        now = self.clock.monotonic()
        self._gone_by = now + LINGER
        if not self._interrupted or self._eof:
            self.link.close()
            return
        # Closed with octets unread, TCP resets the connection, and the client may never see why (RFC 1122 4.2.2.13):
        # so it is heard out.
        self._quiet_by = now + QUIET
        if self.link.can_write_eof():
            self.link.write_eof()
        if self._held_back:
            self.link.resume_reading()

    async def silence(self, seconds: float) -> bytes:
        """What the client says within so many seconds, though it should wait for us. Raises Gone, Ending."""
        self._waiter = self.loop.create_future()
        time_is_up = self.loop.call_later(seconds, self._wake)
        try:
            await self._waiter
        finally:
            self._waiter = None
            time_is_up.cancel()
        if not self.lines and self._eof:
            raise Gone
        if self._leaving:
            raise Ending(STOPPED)
        return bytes(self.lines.chunk())

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
        """The next command without its CRLF. Raises Rejected where it is none; Gone, Ending."""
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

    async def more(self) -> None:
        """Let the replies go and wait for more input. Raises Gone, Ending."""
        self.flush()
        self._in_a_row = 0
        have = len(self.lines)
        while True:
            if self._expired:
                raise Ending(LATE)
            if self._leaving and not self._in_message:
                raise Ending(STOPPED)
            if not self._choked:
                if len(self.lines) > have:
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


def _text(argument: bytes) -> str:
    try:
        return argument.decode().strip(" \t")
    except UnicodeDecodeError:
        raise Rejected(501, "5.5.2", "Commands should be in ASCII or UTF-8") from None
