"""Messages over one connection, one round trip each.

A message takes two turns: its commands (MAIL, RCPT …, DATA) and, when these have been answered, its content. Where the
primary offers PIPELINING (RFC 2920), the content of a message and the commands of the next go out together:

    we       MAIL 1, RCPT 1, DATA 1
    primary                          250 250 354
    we       content 1, dot, MAIL 2, RCPT 2, DATA 2
    primary                                          250 (message 1)  250 250 354
    we       content 2, dot, MAIL 3 …

so it pays to have the next message here before the last one is answered: :data:`DEPTH` of them keep a connection
busy. Without PIPELINING each command waits for the reply to the last one.

What it promises: every message submitted gets exactly one result, whatever happens to the connection; no command goes
out while content is due; a transaction that the primary has left open is ended by RSET before the next.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator

from relay.mail import Envelope
from relay.smtp.content import EMPTY, Content, Stuffing, stuffed
from relay.smtp.dialogue import Lines, Offers, refusal
from relay.smtp.failure import Failure, Kind, Stage
from relay.smtp.transaction import Result, Step, Transaction, refused_here
from relay.smtp.wire import Wire

DEPTH = 3
"""Messages that may be on their way at once: one waits for its last reply, one for its DATA, one for its turn."""

PIECE = 256 * 1024
"""Octets of content that are written at once; what is longer waits until the primary has taken the piece before."""


class Pipeline:
    """See above; made for a wire whose session has begun."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.offers = Offers()
        """Of the primary; whoever says EHLO keeps them right."""
        self.begun = 0
        """Messages whose commands have been sent since the connection was made."""
        self.unfinished = 0
        """Messages that have no result yet."""
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Sending] = deque()
        self._open: _Sending | None = None  # whose commands or content are still going out
        self._room: asyncio.Future[None] | None = None
        self._streams: set[asyncio.Task[None]] = set()
        wire.when_lost = self._lost

    async def room(self, depth: int = DEPTH) -> None:
        """Wait until fewer than ``depth`` messages are unfinished."""
        while self.unfinished >= depth:
            if self._room is None:
                self._room = self._loop.create_future()
            await asyncio.shield(self._room)

    def submit(self, envelope: Envelope, content: Content, size: int | None = None) -> asyncio.Future[Result]:
        """Send a message when its turn comes. See :meth:`relay.smtp.connection.Connection.submit`."""
        if size is None and isinstance(content, bytes):
            size = len(content)
        future: asyncio.Future[Result] = self._loop.create_future()
        reply = refusal(envelope, self.offers, size)
        if reply is not None:
            future.set_result(refused_here(envelope, reply))
            return future
        sending = _Sending(self, Transaction(envelope, self.offers, size), content, future)
        self.unfinished += 1
        if self.wire.failure is not None:
            sending.lost(self.wire.failure, head=False)
        else:
            self._waiting.append(sending)
            self._advance()
        return future

    def _advance(self) -> None:
        """Begin the next message, if it is its turn."""
        if self._open is not None or self.wire.unasked or self.wire.failure is not None:
            return
        while self._waiting:
            sending = self._waiting.popleft()
            if not sending.future.cancelled():
                self._open = sending
                self.begun += 1
                sending.begin(first=self.begun == 1, pipelined=self.offers.pipelining)
                return
            self.count_down()

    def gone_out(self, sending: _Sending, *, answered: bool) -> None:
        """All of it is written; what comes next may follow, at once or when the reply has come."""
        if self._open is sending and (answered or self.offers.pipelining):
            self._open = None
            self._advance()

    def count_down(self) -> None:
        """A message has its result."""
        self.unfinished -= 1
        if self._room is not None:
            self._room.set_result(None)
            self._room = None

    def keep(self, stream: asyncio.Task[None]) -> None:
        """The loop itself doesn't hold on to its tasks."""
        self._streams.add(stream)
        stream.add_done_callback(self._streams.discard)

    def _lost(self, failure: Failure) -> None:
        waiting = list(self._waiting)
        self._waiting.clear()
        for sending in waiting:
            sending.lost(failure, head=False)


class _Sending:
    """One message on its way: carries out what its transaction says. Owns the replies to it."""

    __slots__ = ("_content", "_done", "_first", "_pipeline", "_seconds", "_transaction", "_wire", "future")

    def __init__(
        self, pipeline: Pipeline, transaction: Transaction, content: Content, future: asyncio.Future[Result]
    ) -> None:
        self.future = future
        self._pipeline = pipeline
        self._wire = pipeline.wire
        self._transaction = transaction
        self._content = content
        self._first = False
        self._done = False
        self._seconds: list[float] = []

    def begin(self, *, first: bool, pipelined: bool) -> None:
        """``first``: no message was begun on this connection before."""
        self._first = first
        self._command(None if pipelined else 1)

    def _command(self, count: int | None) -> None:
        for stage, command in self._transaction.next_commands(count):
            self._wire.send(command)
            self._wire.expect(stage, self)

    def replied(self, stage: Stage, lines: Lines, seconds: float) -> None:
        reply = lines.reply
        if stage is Stage.RSET:
            # A MAIL after this one would be nested (503), and its message refused for good by mistake.
            if not 200 <= reply.code < 300:
                raise Failure(stage, Kind.PROTOCOL, f"RSET was refused: {reply}")
            self._pipeline.gone_out(self, answered=True)
            return
        self._seconds.append(seconds)
        step = self._transaction.replied(stage, reply)
        if step is Step.COMMAND:
            self._command(1)
        elif step is Step.CONTENT or step is Step.EMPTY:
            self._wire.expect(Stage.CONTENT, self)
            if self._wire.unasked:
                pass  # the connection is about to end, and this message with it
            elif step is Step.EMPTY:
                self._wire.send(EMPTY)
                self._content_is_out()
            elif isinstance(self._content, bytes) and len(self._content) <= PIECE:
                self._wire.send(*stuffed(self._content))
                self._transaction.dot_sent = True
                self._content_is_out()
            else:
                self._pipeline.keep(asyncio.create_task(self._stream(self._content)))
        elif step is Step.DONE:
            self._finish(self._transaction.result(self._seconds))
            if self._transaction.open:
                self._wire.send(b"RSET\r\n")
                self._wire.expect(Stage.RSET, self)
            self._pipeline.gone_out(self, answered=not self._transaction.open)
        elif step is Step.ABORT:
            self._finish(self._transaction.result(self._seconds))
            self._wire.fail(Failure(stage, Kind.CLOSED, f"the content was refused half-way: {reply}"))

    def lost(self, failure: Failure, *, head: bool) -> None:
        if not self._done:
            untried = not self._transaction.heard and not self._first
            self._finish(self._transaction.lost(failure, self._seconds, head=head, untried=untried))

    async def _stream(self, content: Content) -> None:
        stuffing = Stuffing()
        try:
            async for piece in _pieces(content):
                self._wire.send(stuffing.feed(piece))
                await self._wire.drain()
        except Exception as error:
            # The dot is never sent after half a message. A Failure has reached us by lost() already.
            if not self._done:
                self._done = True
                self._pipeline.count_down()
                if not self.future.done():
                    self.future.set_exception(error)
                self._wire.fail(Failure(Stage.CONTENT, Kind.CLOSED, "the content of another message couldn't be read"))
            return
        self._wire.send(stuffing.end())
        self._transaction.dot_sent = True
        self._content_is_out()

    def _content_is_out(self) -> None:
        self._wire.becomes(Stage.END_OF_DATA)
        self._pipeline.gone_out(self, answered=False)

    def _finish(self, result: Result) -> None:
        self._done = True
        self._pipeline.count_down()
        if not self.future.done():
            self.future.set_result(result)


async def _pieces(content: Content) -> AsyncIterator[bytes]:
    if isinstance(content, bytes):
        for begin in range(0, len(content), PIECE):
            yield content[begin : begin + PIECE]
    elif isinstance(content, AsyncIterable):
        async for piece in content:
            yield piece
    else:
        for piece in content:
            yield piece
