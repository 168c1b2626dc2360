"""One TCP connection as SMTP sees it: bytes go out, replies come in, each goes to whoever asked for it.

The wire keeps the list of replies that are due and hands each, as it arrives, to its owner. What it promises:

- a reply that nobody asked for ends the connection, and so does one that came before its command was written: taken
  for the answer to the next command it could make a lost message look delivered;
- the reply waited for comes within the time of its stage, or the connection ends;
- when the connection ends, in whatever way, each owner of an outstanding reply hears it exactly once, in order, and
  :attr:`Wire.failure` says why. A 421 ends the connection (RFC 5321 3.8) and is given as the failure's reply.

It knows nothing of messages (see ``pipeline``) nor of how a session begins (see ``connection``). Durations are
measured by the loop's clock, as its timers are.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

from relay.smtp.dialogue import Garbage, Lines, ReplyParser
from relay.smtp.failure import Failure, Kind, Stage, closed, timed_out

TLS_TIMEOUT = 60.0
"""Seconds for a handshake, at most: mail waits for it, and may go in plain text afterwards."""

QUIT_TIMEOUT = 30.0
"""Seconds for the reply to QUIT, at most: nothing depends on it."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds; the defaults are those of RFC 5321 4.5.3.2."""

    connect: float = 30.0
    reply: float = 300.0
    """For each reply that has no time of its own here."""
    greeting: float = 300.0
    """For the replies with which a session begins, if that is less."""
    block: float = 180.0
    """How long the content may stand still while it is sent, and the reply to a part of it may take."""
    end_of_data: float = 600.0

    def of(self, stage: Stage) -> float:
        match stage:
            case Stage.BANNER | Stage.EHLO | Stage.STARTTLS | Stage.XCLIENT:
                return min(self.greeting, self.reply)
            case Stage.CONTENT | Stage.BDAT:
                return self.block
            case Stage.END_OF_DATA:
                return self.end_of_data
            case Stage.QUIT:
                return min(self.reply, QUIT_TIMEOUT)
            case _:
                return self.reply

    @property
    def shortest(self) -> float:
        return min(self.reply, self.greeting, self.block, self.end_of_data, QUIT_TIMEOUT)


class Owner(Protocol):
    """Who waits for replies."""

    def replied(self, stage: Stage, lines: Lines, seconds: float) -> None:
        """The reply has come, ``seconds`` after it became the primary's turn. Failure may be raised: it ends the
        connection, and :meth:`lost` follows."""

    def lost(self, failure: Failure, *, head: bool) -> None:
        """It won't come. ``head``: this was the very reply that was waited for."""


class Wire(asyncio.Protocol):
    """See above. Made by the loop's ``create_connection``; ``greeted`` owns the banner, which may come at once."""

    _transport: asyncio.Transport

    def __init__(self, timeouts: Timeouts, greeted: Owner) -> None:
        self.greeted = greeted
        self.failure: Failure | None = None
        self.when_lost: Callable[[Failure], None] | None = None
        """Called once, after the owners, when the connection has ended."""
        self.unasked = False
        """Something has come in that nobody asked for: begin nothing, the connection is about to end."""
        self.between: Stage | None = None
        """What goes on while no reply is due; None: nothing does."""
        self._loop = asyncio.get_running_loop()
        self._timeouts = timeouts
        self._parser = ReplyParser()
        self._expected: deque[tuple[Stage, Owner]] = deque()
        self._since = 0.0  # when it became the primary's turn to give the reply that is waited for
        self._timer: asyncio.TimerHandle | None = None
        self._outgoing: list[bytes] = []
        self._flush_due = False
        self._writable: asyncio.Future[None] | None = None

    @property
    def peer(self) -> tuple[str, int]:
        """Address and port of the other side; ("", 0) where that isn't known."""
        name = self._transport.get_extra_info("peername")
        return (name[0], name[1]) if name else ("", 0)

    @property
    def cipher(self) -> str:
        """Such as ``TLSv1.3 TLS_AES_256_GCM_SHA384``; empty without TLS."""
        secured = self._transport.get_extra_info("ssl_object")
        return f"{secured.version()} {secured.cipher()[0]}" if secured else ""

    @property
    def certificate(self) -> bytes | None:
        """The other side's, in DER; None without TLS."""
        secured = self._transport.get_extra_info("ssl_object")
        return secured.getpeercert(binary_form=True) if secured else None

    # Outwards

    def expect(self, stage: Stage, owner: Owner) -> None:
        """One more reply is due, after those that are already."""
        if self.failure is not None:
            owner.lost(self.failure, head=False)
            return
        self._expected.append((stage, owner))
        if len(self._expected) == 1:
            self.touch()

    def send(self, *data: bytes) -> None:
        """Write, together with what else is written in this turn of the loop."""
        self._outgoing += data
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    async def drain(self) -> None:
        """Wait until more may be written without piling up. Raises Failure when the connection has ended."""
        self._flush()
        await asyncio.sleep(0)  # the other connections have a turn even where this one never has to wait
        if self._writable is not None:
            await self._writable
        if self.failure is not None:
            raise self.failure
        self.touch()

    def touch(self) -> None:
        """The time for the reply that is waited for begins anew."""
        self._since = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_later(self._timeouts.shortest, self._tick)

    def becomes(self, stage: Stage) -> None:
        """The reply that is waited for now answers something later: the content is out."""
        if self.failure is None:
            _, owner = self._expected[0]
            self._expected[0] = (stage, owner)
            self.touch()

    def _flush(self) -> None:
        self._flush_due = False
        if self._outgoing and self.failure is None:
            self._transport.writelines(self._outgoing)
        self._outgoing.clear()

    # Inwards

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.expect(Stage.BANNER, self.greeted)

    def data_received(self, data: bytes) -> None:
        if self.failure is not None:
            return
        heard = self._parser.feed(data)
        # Whatever has come by now answers what had been asked by now, however much is asked in the meantime.
        due = len(self._expected)
        self.unasked = len(heard) + self._parser.partial > due
        now = self._loop.time()
        for lines in heard[:due]:
            self._take(lines, now)
        if self.unasked:
            stage = self._expected[0][0] if self._expected else self.between or Stage.MAIL
            self._fail_by(heard[due] if len(heard) > due else None, stage)

    def _take(self, lines: Lines | Garbage, now: float) -> None:
        if self.failure is not None:
            return
        stage, owner = self._expected[0]
        if isinstance(lines, Garbage) or lines.code == 421:
            self._fail_by(lines, stage)
            return
        self._expected.popleft()
        seconds = now - self._since
        self._since = now
        try:
            owner.replied(stage, lines, seconds)
        except Failure as failure:
            self._expected.appendleft((stage, owner))
            self.fail(failure)

    def _fail_by(self, heard: Lines | Garbage | None, stage: Stage) -> None:
        if isinstance(heard, Garbage):
            self.fail(Failure(stage, Kind.PROTOCOL, heard.text))
        elif heard is not None and heard.code == 421:
            self.fail(Failure(stage, Kind.CLOSED, f"the primary ended the session: {heard.reply}", heard.reply))
        else:
            said = f": {heard.reply}" if heard else ""
            self.fail(Failure(stage, Kind.PROTOCOL, f"out of step: a reply that nobody asked for{said}"))

    def pause_writing(self) -> None:
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    # The end

    def _tick(self) -> None:
        # There is one timer, which never runs longer than the shortest time allowed: so none is set or cancelled
        # for a reply, and none is late.
        self._timer = None
        if self.failure is not None or not self._expected:
            return
        stage, _ = self._expected[0]
        seconds = self._timeouts.of(stage)
        left = self._since + seconds - self._loop.time()
        if left <= 0:
            self.fail(timed_out(stage, seconds))
        else:
            self._timer = self._loop.call_later(min(left, self._timeouts.shortest), self._tick)

    def connection_lost(self, error: Exception | None) -> None:
        self.fail(closed(self._expected[0][0] if self._expected else self.between))
        self.resume_writing()

    def close(self) -> None:
        """End the connection; whoever waits for a reply hears that we did."""
        stage = self._expected[0][0] if self._expected else self.between
        closing = Failure(stage or Stage.QUIT, Kind.CLOSED, "we closed the connection")
        self._end(closing, at_once=stage is not None)

    def fail(self, failure: Failure) -> None:
        """End the connection, because of ``failure``."""
        self._end(failure, at_once=True)

    def _end(self, failure: Failure, *, at_once: bool) -> None:
        if self.failure is not None:
            return
        self.failure = failure
        self._outgoing.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if at_once:
            self._transport.abort()  # what is still unwritten could wait for ever for a primary that doesn't read
        else:
            self._transport.close()
        self.resume_writing()
        expected = list(self._expected)
        self._expected.clear()
        for index, (_, owner) in enumerate(expected):
            owner.lost(failure, head=index == 0)
        if self.when_lost is not None:
            self.when_lost(failure)

    # TLS

    async def start_tls(self, context: ssl.SSLContext, hostname: str) -> None:
        """Go on encrypted. Raises Failure; the connection is of no more use then."""
        if self.failure is not None:  # something came along behind the 220 (RFC 3207 4.2)
            raise Failure(Stage.STARTTLS, Kind.TLS, f"instead of a TLS handshake {self.failure}")
        timeout = min(self._timeouts.of(Stage.STARTTLS), TLS_TIMEOUT)
        try:
            transport = await self._loop.start_tls(
                self._transport, self, context, server_hostname=hostname, ssl_handshake_timeout=timeout
            )
        except (OSError, ValueError) as error:  # what ssl raises is an OSError; a host that is no name, a ValueError
            said = getattr(error, "verify_message", "") or str(error) or type(error).__name__
            failure = Failure(Stage.STARTTLS, Kind.TLS, f"the TLS handshake failed: {said}")
            self.fail(failure)
            raise failure from error
        if self.failure is not None or transport is None:
            raise self.failure or closed(Stage.STARTTLS)
        self._transport = transport
        self._parser = ReplyParser()
