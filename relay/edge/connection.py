"""The connection of a session: octets in and out, waiting for more, TLS, time-outs, and an orderly end.

Input is read in whatever chunks it comes, and a client that goes away cancels nothing: the session's task ends by
itself once what was begun is done. Knows no command.

Promises: replies to pipelined commands leave together (RFC 2920 3.2); a client that is waited for too long is noticed,
and one that doesn't read our last words, or talks on behind them, is let go after a while.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import cast

from relay.clock import Clock
from relay.edge.lines import Lines
from relay.edge.patience import Patience
from relay.edge.refusals import LATE, STOPPED
from relay.mail import Reply

INPUT_LIMIT = 64 * 1024
"""Octets that may wait unread before the client has to pause."""
LINGER = 30.0
"""Seconds that a client has to take our last words."""
QUIET = 2.0
"""Seconds of silence after which a client that was interrupted has said all."""
HANDSHAKE = 60.0
"""Seconds that a TLS handshake may take."""


class Gone(Exception):
    """The client has gone: nobody is there to reply to."""


class Ending(Exception):
    """The session ends with this reply; ``said``: what it answers; ``reason``: as an EdgeError's."""

    def __init__(self, reply: Reply, reason: str = "", said: bytes = b"") -> None:
        super().__init__(str(reply))
        self.reply = reply
        self.reason = reason
        self.said = said


class Connection(asyncio.Protocol):
    """The transport's protocol; subclasses say what is done with it in :meth:`run`.

    ``timeout``: seconds that a client is waited for; ``most_errors``: commands refused for good.
    """

    def __init__(self, clock: Clock, timeout: float, most_errors: int) -> None:
        self.loop = asyncio.get_running_loop()
        self.clock = clock
        self.link: asyncio.Transport
        self.transport: asyncio.BaseTransport | None = None  # the same, where aiosmtpd looks for it
        self.encrypted = False
        self.task: asyncio.Task[None]
        self.patience = Patience(timeout, most_errors, clock.monotonic())
        self.lines = Lines()
        self._timeout = timeout
        self._output = b""
        self._waiter: asyncio.Future[None] | None = None
        self._gone_by = self._quiet_by = 0.0
        self._expired = False
        self._leaving = False
        self._in_message = False
        self._standing_by = False
        self._in_a_row = 0  # commands that were answered without waiting
        self._held_back = False  # the client is made to pause
        self._choked = False  # the client doesn't take our replies
        self._eof = False  # the client sends no more
        self._lost = False  # there is no connection any more
        self._over = False  # ... and no task
        self._interrupted = False  # a command led to the end of the session, and the client may be talking still

    async def run(self) -> None:
        """The session, a task of its own from the first octet on; ends with :meth:`end`."""
        raise NotImplementedError

    def closed(self) -> None:
        """The session is over and its connection closed; called once."""

    # --- called by the transport --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = self.link = cast(asyncio.Transport, transport)
        self.task = self.loop.create_task(self.run())

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

    # --- for the session ---------------------------------------------------------------------------------------------

    def say(self, reply: bytes) -> None:
        """Reply; it leaves when nothing more can be done without the client."""
        self._output += reply

    def flush(self) -> None:
        """Let the replies go."""
        if self._output and not self._lost:
            self.link.write(self._output)
            self._output = b""

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

    def end(self) -> None:
        """The task is over: let the last replies go, and close."""
        self._over = True
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

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
