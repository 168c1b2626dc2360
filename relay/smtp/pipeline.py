"""Messages over one connection, one round trip each.

A message takes two turns: its commands (MAIL, RCPT …, DATA) and, when these have been answered, its content. Where the
primary offers PIPELINING (RFC 2920), the content of a message and the commands of the next go out together:

    we       MAIL 1, RCPT 1, DATA 1
    primary                          250 250 354
    we       content 1, dot, MAIL 2, RCPT 2, DATA 2
    primary                                          250 (message 1)  250 250 354
    we       content 2, dot, MAIL 3 …

Where it offers CHUNKING (RFC 3030) there is no DATA, and ``BDAT n LAST`` in front of the content instead of the dot
behind it. It too waits for the replies to RCPT, though it might go at once: so no content is ever sent for nobody, and
a message still takes one round trip.

So it pays to have the next message here before the last one is answered: :data:`DEPTH` of them keep a connection
busy. Without PIPELINING each command waits for the reply to the last one.

What it promises: every message submitted gets exactly one result, whatever happens to the connection; no command goes
out while content is due; a transaction that the primary has left open is ended by RSET before the next.
"""

from __future__ import annotations

import asyncio
from collections import deque

from relay.mail import Envelope, Reply
from relay.smtp.content import Content
from relay.smtp.dialogue import Extension, Offers, refusal
from relay.smtp.failure import Failure
from relay.smtp.origin import Origin, xforward_command
from relay.smtp.sending import Chunks, Sending
from relay.smtp.transaction import Result, Transaction, refused_here
from relay.smtp.wire import Wire

DEPTH = 3
"""Messages that may be on their way at once: one waits for its last reply, one for its DATA, one for its turn."""


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
        self.chunks = Chunks.UNTRIED
        """Whether the primary, which offers BDAT, has understood one on this connection."""
        self.unwelcome: Reply | None = None
        """The primary's no to XFORWARD, which isn't said any more then."""
        self._ipv4_alone = False  # a Postfix that doesn't use IPv6 knows no such addresses
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Sending] = deque()
        self._open: Sending | None = None  # whose commands or content are still going out
        self._rooms: list[asyncio.Future[None]] = []  # of those who wait until there are fewer
        self._streams: set[asyncio.Task[None]] = set()
        wire.when_lost = self._lost

    async def room(self, depth: int = DEPTH) -> None:
        """Wait until fewer than ``depth`` messages are unfinished."""
        while self.unfinished >= depth:
            room: asyncio.Future[None] = self._loop.create_future()
            self._rooms.append(room)
            await room

    def submit(
        self, envelope: Envelope, content: Content, size: int | None = None, origin: Origin | None = None
    ) -> asyncio.Future[Result]:
        """Send a message when its turn comes. See :meth:`relay.smtp.connection.Connection.submit`."""
        if size is None and isinstance(content, bytes):
            size = len(content)
        future: asyncio.Future[Result] = self._loop.create_future()
        reply = refusal(envelope, self.offers, size)
        if reply is not None:
            future.set_result(refused_here(envelope, reply))
            return future
        if self._ipv4_alone and origin is not None and origin.client.ipv6:
            origin = None
        introduction = xforward_command(origin, self.offers.xforward)
        sending = Sending(self, Transaction(envelope, self.offers, size, introduction), content, origin, future)
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

    def gone_out(self, sending: Sending, *, answered: bool) -> None:
        """All of it is written; what comes next may follow, at once or when the reply has come."""
        if self._open is sending and (answered or self.offers.pipelining):
            self._open = None
            self._advance()

    def not_welcome(self, origin: Origin, reply: Reply) -> None:
        """The primary won't hear of original clients, or not of that one; servers count errors."""
        if reply.code != 501:
            self.unwelcome = reply
            self.offers = self.offers.without({Extension.XFORWARD})
        elif origin.client.ipv6:
            self._ipv4_alone = True

    def count_down(self) -> None:
        """A message has its result."""
        self.unfinished -= 1
        for room in self._rooms:
            if not room.done():
                room.set_result(None)
        self._rooms.clear()

    def keep(self, stream: asyncio.Task[None]) -> None:
        """The loop itself doesn't hold on to its tasks."""
        self._streams.add(stream)
        stream.add_done_callback(self._streams.discard)

    def _lost(self, failure: Failure) -> None:
        if self._open is not None:
            self._open.lost(failure, head=True)  # no reply may be due to it between two parts of its content
        waiting = list(self._waiting)
        self._waiting.clear()
        for sending in waiting:
            sending.lost(failure, head=False)
