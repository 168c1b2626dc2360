"""A session with a primary: connect, banner, EHLO, STARTTLS, then messages, and QUIT.

    connection = await Connection.open("mail.acme.example", 25, addresses=["192.0.2.1"], local_hostname="mx2.example")
    while connection.usable and (message := await next_message()):
        await connection.room()
        connection.submit(message.envelope, message.content).add_done_callback(...)
    await connection.quit()

What it promises: ``open`` either returns a session ready for mail or raises :class:`Failure`, which says at which
stage and why; it never leaves a connection behind. A primary whose TLS doesn't work is spoken to in plain text where
the policy is ``opportunistic``, and not at all where it is ``verify``. Nothing that was said before the handshake
counts after it (RFC 3207 4.2). Once a session has spoken for one client (XCLIENT) it carries no other's mail without
saying so first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import NamedTuple, Self, cast

from relay.mail import NULL_SENDER, Client, Envelope, Recipient, Reply
from relay.smtp.content import Content
from relay.smtp.dial import addresses_of, dial
from relay.smtp.dialogue import Extension, Lines, Offers, command_line, mail_command, offers_of, rcpt_command
from relay.smtp.failure import Failure, Kind, Stage
from relay.smtp.origin import Origin, xclient_command
from relay.smtp.pipeline import DEPTH, Pipeline
from relay.smtp.sending import Chunks
from relay.smtp.transaction import Result
from relay.smtp.wire import Timeouts, Wire
from relay.tls import Policy, client_context

QUIT_WITHIN = 5.0
"""Seconds that a server gets to answer QUIT where all that matters is known."""


class Timing(NamedTuple):
    """How many seconds the primary took for a reply."""

    stage: Stage
    seconds: float


class Connection:
    """A session that has begun. Made by :meth:`open` alone."""

    def __init__(self, wire: Wire, without: Collection[Extension]) -> None:
        self.banner = Reply(220, "", "")
        self.speaks_for: Client | None = None
        """Whose session the primary takes this for, if it isn't ours."""
        self.timings: list[Timing] = []
        """Of the replies that began the session: banner, EHLO, and STARTTLS and EHLO again where there was TLS. Those
        to messages are in their results."""
        self.tls_failure: Failure | None = None
        """Why the session is in plain text though the primary offers STARTTLS."""
        self._wire = wire
        self._without = without
        self._pipeline = Pipeline(wire)

    @classmethod
    async def open(
        cls,
        host: str,
        port: int = 25,
        *,
        local_hostname: str,
        addresses: Sequence[str] = (),
        tls: Policy = "opportunistic",
        preamble: bytes = b"",
        without: Collection[Extension] = (),
        connect_timeout: float = 30.0,
        greeting_timeout: float | None = None,
        reply_timeout: float = 300.0,
        block_timeout: float = 180.0,
        end_of_data_timeout: float = 600.0,
    ) -> Self:
        """Begin a session with ``host``, at the first of its ``addresses`` that answers. Raises Failure.

        ``preamble`` is said before the banner is waited for, as the PROXY protocol has it.
        ``host`` names the primary for TLS; without ``addresses`` it has to be an address itself. ``without``: what is
        left unused though it may be offered. Timeouts are in seconds, with the defaults of RFC 5321 4.5.3.2: to
        connect, for the banner and the answers up to the first message (None: as for each reply), for each reply, for
        the content to get on, and for the reply to its end.
        """
        greeting = reply_timeout if greeting_timeout is None else greeting_timeout
        timeouts = Timeouts(connect_timeout, reply_timeout, greeting, block_timeout, end_of_data_timeout)
        candidates = addresses_of(host, addresses)
        try:
            return await cls._begin(host, port, candidates, local_hostname, tls, without, timeouts, preamble)
        except Failure as failure:
            if tls != "opportunistic" or failure.stage is not Stage.STARTTLS:
                raise
            connection = await cls._begin(host, port, candidates, local_hostname, "none", without, timeouts, preamble)
            connection.tls_failure = failure
            return connection

    @classmethod
    async def _begin(
        cls,
        host: str,
        port: int,
        addresses: Sequence[str],
        local_hostname: str,
        tls: Policy,
        without: Collection[Extension],
        timeouts: Timeouts,
        preamble: bytes,
    ) -> Self:
        wire = await dial(addresses, port, timeouts.connect, lambda: Wire(timeouts, _Question()))
        connection = cls(wire, without)
        try:
            wire.send(preamble)
            await connection._greet(host, local_hostname, tls)
        except BaseException:
            wire.close()
            raise
        return connection

    async def _greet(self, host: str, local_hostname: str, tls: Policy) -> None:
        self.banner = (await self._hear(Stage.BANNER, cast("_Question", self._wire.greeted))).reply
        if not _accepted(self.banner):
            raise await self._refused(Stage.BANNER, self.banner)
        await self._ehlo(local_hostname)
        if tls == "none":
            return
        if not self.offers.starttls:
            if tls == "verify":
                raise Failure(Stage.STARTTLS, Kind.TLS, "STARTTLS is not offered, and [delivery] tls is verify")
            return
        reply = (await self._ask(Stage.STARTTLS, b"STARTTLS\r\n")).reply
        if _accepted(reply):
            try:
                await self._wire.start_tls(client_context(tls), host.strip("[]").rstrip("."))
                await self._ehlo(local_hostname)
            except Failure as error:
                if error.answered or error.stage is Stage.STARTTLS:
                    raise
                raise Failure(Stage.STARTTLS, Kind.TLS, f"after the TLS handshake {error}") from error
            return
        failure = Failure(Stage.STARTTLS, Kind.TLS, f"STARTTLS was refused: {reply}", reply)
        if tls == "verify":
            raise failure
        self.tls_failure = failure

    async def _ehlo(self, local_hostname: str) -> None:
        lines = await self._ask(Stage.EHLO, command_line(f"EHLO {local_hostname}"))
        offers = offers_of(lines.lines)
        if lines.reply.permanent:  # RFC 5321 3.2: an old server, which may still know HELO
            lines = await self._ask(Stage.EHLO, command_line(f"HELO {local_hostname}"))
            offers = Offers()
        if not _accepted(lines.reply):
            raise await self._refused(Stage.EHLO, lines.reply)
        self._pipeline.offers = offers.without(self._without)

    async def _refused(self, stage: Stage, reply: Reply) -> Failure:
        """The primary won't have us; it is told goodbye all the same, since some count those who just hang up."""
        await self.quit()
        return Failure(stage, Kind.REFUSED, f"the primary refused us at {stage}: {reply}", reply)

    @property
    def offers(self) -> Offers:
        """What the primary can do, as it said last."""
        return self._pipeline.offers

    @property
    def misled(self) -> bool:
        """The session ended at its first BDAT: CHUNKING is offered, and doesn't work."""
        failure = self._wire.failure
        return self._pipeline.chunks is Chunks.ASKED and failure is not None and not failure.answered

    @property
    def unwelcome(self) -> Reply | None:
        """The primary's no to XFORWARD, if it has said one."""
        return self._pipeline.unwelcome

    @property
    def usable(self) -> bool:
        """Whether more messages may be submitted."""
        return self._wire.failure is None

    @property
    def failure(self) -> Failure | None:
        """What ended the connection."""
        return self._wire.failure

    @property
    def peer(self) -> tuple[str, int]:
        """The address and port that answered."""
        return self._wire.peer

    @property
    def cipher(self) -> str:
        """Such as ``TLSv1.3 TLS_AES_256_GCM_SHA384``; empty in plain text."""
        return self._wire.cipher

    @property
    def certificate(self) -> bytes | None:
        """The one that the primary showed, in DER; None in plain text."""
        return self._wire.certificate

    async def room(self, depth: int = DEPTH) -> None:
        """Wait until fewer than ``depth`` messages are unfinished; the default keeps the connection busy."""
        await self._pipeline.room(depth)

    def submit(
        self, envelope: Envelope, content: Content, size: int | None = None, origin: Origin | None = None
    ) -> asyncio.Future[Result]:
        """Send a message when its turn comes; the future has its result, whatever happens to the connection.

        ``content`` has its Received line on top, lines end in CRLF, dots aren't stuffed; an iterable of pieces is asked
        for the first when the primary has said 354, and for the next when that is out. Should it raise, the future
        raises the same and the connection is ended, so that half a message is never taken for a whole one.
        ``size``: octets of the content, if known; bytes know theirs. ``origin``: where it comes from, for XFORWARD.

        To cancel the future withdraws a message that isn't begun; after that it is sent, and the result goes unheard.
        Raises ValueError for an envelope that can't be written in commands (control characters).
        """
        return self._pipeline.submit(envelope, content, size, origin if self.speaks_for is None else None)

    async def send(
        self, envelope: Envelope, content: Content, size: int | None = None, origin: Origin | None = None
    ) -> Result:
        """:meth:`submit` when there is room, and wait for the result."""
        await self._pipeline.room()
        return await self.submit(envelope, content, size, origin)

    async def speak_for(self, origin: Origin) -> None:
        """XCLIENT and EHLO: from now on the primary takes this for a session of that client.

        For an idle connection that is offered it. Raises Failure, also where the primary refuses: whose session it is
        would be open then.
        """
        reply = (await self._ask(Stage.XCLIENT, xclient_command(origin, self.offers.xclient))).reply
        if not _accepted(reply):
            raise await self._refused(Stage.XCLIENT, reply)
        self.speaks_for = origin.client
        await self._ehlo(origin.greeting)

    async def ask_recipient(self, address: str) -> tuple[Stage, Reply]:
        """Whether the primary would take mail for ``address`` from the null sender; nothing is sent.

        The stage says whether MAIL or RCPT was answered so. For an idle connection. Raises Failure.
        """
        envelope = Envelope(NULL_SENDER, (Recipient(address),))
        stage, reply = Stage.MAIL, (await self._ask(Stage.MAIL, mail_command(envelope, self.offers, None))).reply
        if _accepted(reply):
            command = rcpt_command(envelope.recipients[0], self.offers)
            stage, reply = Stage.RCPT, (await self._ask(Stage.RCPT, command)).reply
            await self.reset()
        return stage, reply

    async def reset(self) -> None:
        """RSET: proof that the session still lives. For an idle connection. Raises Failure."""
        reply = (await self._ask(Stage.RSET, b"RSET\r\n")).reply
        if not _accepted(reply):
            failure = Failure(Stage.RSET, Kind.PROTOCOL, f"RSET was refused: {reply}", reply)
            self._wire.fail(failure)
            raise failure

    async def quit(self) -> None:
        """When all that was submitted has its result: QUIT, wait for the answer, close. Never raises Failure."""
        await self._pipeline.room(1)
        try:
            await self._ask(Stage.QUIT, b"QUIT\r\n")
        except Failure:
            pass  # there is nothing left that could be lost
        self.close()

    async def say_goodbye(self) -> None:
        """:meth:`quit`, where nothing more is wanted: within QUIT_WITHIN seconds, and the connection is closed."""
        try:
            async with asyncio.timeout(QUIT_WITHIN):
                await self.quit()
        except TimeoutError:
            pass  # it has answered what we wanted to know
        finally:
            self.close()

    def close(self) -> None:
        """End the connection at once. What has no result yet gets one that says so."""
        self._wire.close()

    async def _ask(self, stage: Stage, command: bytes) -> Lines:
        self._wire.send(command)
        question = _Question()
        self._wire.expect(stage, question)
        return await self._hear(stage, question)

    async def _hear(self, stage: Stage, question: _Question) -> Lines:
        lines, seconds = await question.answer
        self.timings.append(Timing(stage, seconds))
        return lines


def _accepted(reply: Reply) -> bool:
    """2xx: outside DATA there is no other yes (RFC 5321 4.2.1)."""
    return 200 <= reply.code < 300


class _Question:
    """Owns one reply that somebody waits for, or has ceased to wait for."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[tuple[Lines, float]] = asyncio.get_running_loop().create_future()
        self.answer.add_done_callback(lambda answer: answer.cancelled() or answer.exception())

    def replied(self, stage: Stage, lines: Lines, seconds: float) -> None:
        if not self.answer.done():
            self.answer.set_result((lines, seconds))

    def lost(self, failure: Failure, *, head: bool) -> None:
        if not self.answer.done():
            self.answer.set_exception(failure)
