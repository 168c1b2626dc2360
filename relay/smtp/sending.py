"""One message on its way: carries out what its transaction says, and owns the replies to it.

Content up to a piece goes out in one write, longer content piece by piece as the primary takes it. By BDAT the pieces
are counted chunks, sent without waiting for the reply to each where the primary offers PIPELINING.

What it promises: the end is never sent after half a message; nothing of the content goes out after the primary has
refused a part of it. The first chunk of a connection is the first line of the content alone, and the rest waits for its
reply: a server, or a firewall before it, that offers CHUNKING and doesn't know BDAT would take all that follows for
commands, and that line, our own Received, is none.
"""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import TYPE_CHECKING

from relay.smtp.content import EMPTY, Content, Stuffing, chunk, first_line, pieces, stuffed
from relay.smtp.dialogue import Lines
from relay.smtp.failure import Failure, Kind, Stage
from relay.smtp.origin import Origin
from relay.smtp.transaction import Result, Step, Transaction

if TYPE_CHECKING:
    from relay.smtp.pipeline import Pipeline

PIECE = 256 * 1024
"""Octets of content that are written at once; what is longer waits until the primary has taken the piece before."""

NOT_UNDERSTOOD = (500, 501, 502, 503, 504, 521)
"""Replies to a first BDAT, in its place and well-formed, that say more of the server than of the message. 521: Postfix,
where BDAT is switched off."""


class Chunks(Enum):
    """What is known of BDAT on a connection."""

    UNTRIED = "none was sent"
    ASKED = "the first has no answer yet"
    UNDERSTOOD = "one was taken"


class Sending:
    """Made by the pipeline alone. ``future``: the message's result."""

    __slots__ = (
        *("_answer", "_content", "_done", "_first", "_origin", "_pipeline", "_seconds", "_transaction", "_wire"),
        "future",
    )

    def __init__(
        self,
        pipeline: Pipeline,
        transaction: Transaction,
        content: Content,
        origin: Origin | None,
        future: asyncio.Future[Result],
    ) -> None:
        self.future = future
        self._pipeline = pipeline
        self._wire = pipeline.wire
        self._transaction = transaction
        self._content = content
        self._origin = origin
        self._first = False
        self._done = False
        self._seconds: list[float] = []
        self._answer: asyncio.Future[None] | None = None  # the reply to a chunk that is waited for

    def begin(self, *, first: bool, pipelined: bool) -> None:
        """``first``: no message was begun on this connection before."""
        self._first = first
        self._command(None if pipelined else 1)

    def _command(self, count: int | None) -> None:
        for stage, command in self._transaction.next_commands(count):
            self._wire.send(command)
            self._wire.expect(stage, self)

    # What the primary says

    def replied(self, stage: Stage, lines: Lines, seconds: float) -> None:
        reply = lines.reply
        if stage is Stage.RSET:
            # A MAIL after this one would be nested (503), and its message refused for good by mistake.
            if not 200 <= reply.code < 300:
                raise Failure(stage, Kind.PROTOCOL, f"RSET was refused: {reply}")
            self._pipeline.gone_out(self, answered=True)
            return
        if stage is not Stage.BDAT:  # its time is that of our sending
            self._seconds.append(seconds)
        elif self._pipeline.chunks is Chunks.ASKED and reply.code in NOT_UNDERSTOOD:
            raise Failure(stage, Kind.PROTOCOL, f"CHUNKING is offered, and BDAT isn't understood: {reply}")
        step = self._transaction.replied(stage, reply)
        if stage is Stage.XFORWARD and not reply.positive and self._origin is not None:
            self._pipeline.not_welcome(self._origin, reply)
        match step:
            case Step.COMMAND:
                self._command(1)
            case Step.CONTENT if self._transaction.chunked:
                self._begin_chunks()
            case Step.CONTENT:
                self._begin_content()
            case Step.EMPTY:
                self._wire.expect(Stage.CONTENT, self)
                if not self._wire.unasked:  # else the connection is about to end, and this message with it
                    self._wire.send(EMPTY)
                    self._content_is_out()
            case Step.MORE:
                self._pipeline.chunks = Chunks.UNDERSTOOD
                self._go_on()
            case Step.STOP:
                if self._pipeline.chunks is Chunks.ASKED:
                    self._pipeline.chunks = Chunks.UNTRIED
                self._finish(self._transaction.result(self._seconds))
                self._reset()
                self._go_on()
            case Step.DONE:
                self._finish(self._transaction.result(self._seconds))
                if self._transaction.open:
                    self._reset()
                self._pipeline.gone_out(self, answered=not self._transaction.open)
            case Step.ABORT:
                self._finish(self._transaction.result(self._seconds))
                self._wire.fail(Failure(stage, Kind.CLOSED, f"the content was refused half-way: {reply}"))
            case Step.WAIT:
                pass

    def lost(self, failure: Failure, *, head: bool) -> None:
        if not self._done:
            untried = not self._transaction.heard and not self._first
            if head and self._pipeline.chunks is Chunks.ASKED and failure.kind is Kind.PROTOCOL:
                untried = True  # it was never more than begun, and there is another way: DATA
            self._finish(self._transaction.lost(failure, self._seconds, head=head, untried=untried))
            self._go_on()

    def _finish(self, result: Result) -> None:
        self._done = True
        self._wire.between = None
        self._pipeline.count_down()
        if not self.future.done():
            self.future.set_result(result)

    def _reset(self) -> None:
        self._wire.send(b"RSET\r\n")
        self._wire.expect(Stage.RSET, self)

    # Content by DATA

    def _begin_content(self) -> None:
        self._wire.expect(Stage.CONTENT, self)
        if self._wire.unasked:
            pass  # the connection is about to end, and this message with it
        elif isinstance(self._content, bytes) and len(self._content) <= PIECE:
            self._wire.send(*stuffed(self._content))
            self._transaction.all_sent = True
            self._content_is_out()
        else:
            self._pipeline.keep(asyncio.create_task(self._guarded(self._content)))

    async def _stream(self, content: Content) -> None:
        stuffing = Stuffing()
        async for piece in pieces(content, PIECE):
            self._wire.send(stuffing.feed(piece))
            await self._wire.drain()
        self._wire.send(stuffing.end())
        self._transaction.all_sent = True
        self._content_is_out()

    def _content_is_out(self) -> None:
        self._wire.becomes(Stage.END_OF_DATA)
        self._pipeline.gone_out(self, answered=False)

    # Content by BDAT

    @property
    def _understood(self) -> bool:
        return self._pipeline.chunks is Chunks.UNDERSTOOD

    def _begin_chunks(self) -> None:
        if self._wire.unasked:
            return  # the connection is about to end, and this message with it
        if self._understood and isinstance(self._content, bytes) and len(self._content) <= PIECE:
            self._last_chunk(self._content)
        else:
            self._wire.between = Stage.CONTENT
            self._pipeline.keep(asyncio.create_task(self._guarded(self._content)))

    async def _stream_chunks(self, content: Content) -> None:
        held = b""  # the last piece goes with the end, and which one it is shows when there is no other
        async for piece in pieces(content, PIECE):
            if piece and not self._understood:
                size = first_line(piece)
                self._pipeline.chunks = Chunks.ASKED
                await self._chunk(piece[:size], wait=True)
                piece = piece[size:]
            if held and piece and not self._done:
                await self._chunk(held, wait=not self._pipeline.offers.pipelining)
            if self._done:
                return
            held = piece or held
        self._wire.between = None
        if not self._done:  # where there was a wait behind the last piece
            self._last_chunk(held)

    async def _chunk(self, piece: bytes, *, wait: bool) -> None:
        self._wire.send(*chunk(piece, last=False))
        self._wire.expect(Stage.BDAT, self)
        answer = self._answer = asyncio.get_running_loop().create_future() if wait else None
        await self._wire.drain()
        if answer is not None:
            await answer

    def _last_chunk(self, piece: bytes) -> None:
        self._wire.send(*chunk(piece, last=True))
        self._transaction.all_sent = True
        self._wire.expect(Stage.END_OF_DATA, self)
        self._pipeline.gone_out(self, answered=False)

    def _go_on(self) -> None:
        """The reply to a chunk is there, or won't come."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(None)

    # Either way

    async def _guarded(self, content: Content) -> None:
        try:
            await (self._stream_chunks(content) if self._transaction.chunked else self._stream(content))
        except Exception as error:
            # The end is never sent after half a message. A Failure has reached us by lost() already.
            if not self._done:
                self._done = True
                self._pipeline.count_down()
                if not self.future.done():
                    self.future.set_exception(error)
                self._wire.fail(Failure(Stage.CONTENT, Kind.CLOSED, "the content of another message couldn't be read"))
