"""Large content, committed in pieces while it arrives, so that no single commit is long and no message is held whole.

It is no mail until the commit of its message row (``Queue.accept``), and no trace of it stays if that never comes:
:meth:`Upload.abort` removes it, or where that couldn't be the next start of the node, or any node a day later.

On a quick disk each piece is on disk before the next is taken. Where commits take long, several are on their way at a
time, or a large message would wait for one after the other: ``MOST`` of one message, and of all messages together no
more than one commit holds, beside the one that each may have in any case. The writer carries out in the order of
asking, so what abort() asks for comes behind all of them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial

from relay.errors import Deferred, Rejected
from relay.queue.content import PIECE, Piece, cut
from relay.queue.ledger import Deltas
from relay.queue.statements import Statements
from relay.queue.tables import PLACES

Work = Callable[[Statements, Deltas], int]
Commit = Callable[[Work, int], "asyncio.Future[int]"]
"""Work for the writer's transaction, and its weight in bytes."""

SLOW = 0.02
"""Seconds for a piece's commit from which on it isn't waited for before the next one is taken."""
MOST = 16
"""Pieces of one message that are on their way at a time."""
ABANDONED = 86400.0
"""Seconds after which content that hasn't become mail is nobody's any more."""
ALL = 32
"""Pieces of all messages on their way at a time, from which on each has one: 8 MiB, which is what a commit holds."""


class Upload:
    """Made by :meth:`Uploads.begin`, for one message. Write, then accept; abort() whatever came of it."""

    def __init__(self, uploads: Uploads, now: float) -> None:
        self._uploads = uploads
        self._began_at = now
        self._tail = bytearray()
        self._first: asyncio.Future[int] | None = None
        self._on_their_way: deque[asyncio.Future[int]] = deque()
        self._place = 1  # piece 0 is our Received line
        self._whole = True
        self._refusal: Deferred | None = None
        self.content_id: int | None = None
        """The number of the content; None until the first piece is on disk."""

    async def write(self, data: bytes | memoryview) -> None:
        """Take what came next; returns once there is room for more. Raises Deferred, as ``Queue.accept`` does, also for
        a piece that was taken before, and once one is lost."""
        self._check_whole()
        self._tail += data
        while len(self._tail) >= PIECE:
            self._whole = False  # whoever is cancelled from here on has lost the piece
            piece = bytes(self._tail[:PIECE])
            del self._tail[:PIECE]
            await self._store(await self._uploads.pack(piece))
            self._whole = True

    async def finish(self, received: bytes) -> tuple[int | None, tuple[tuple[int, Piece], ...]]:
        """What is still to be stored with the message row: (the number of the content, (place, piece) of the rest).

        Returns once all else is on disk. Raises Deferred where a piece is missing, because it couldn't be stored.
        """
        await self._stored(0)
        self._check_whole()
        pack = self._uploads.pack
        line = await pack(received if self.content_id is not None else received + self._tail)
        pieces = [(0, line)]
        if self.content_id is not None:
            pieces += [(self._next_place(), await pack(piece)) for piece in cut(bytes(self._tail))]
        return self.content_id, tuple(pieces)

    async def abort(self) -> None:
        """Remove what was stored, unless it has become mail. Never raises: what is left goes later."""
        try:
            if self._first is not None:
                content_id = await asyncio.shield(self._first)
                await self._uploads.commit(partial(remove_incoming, content_id), 0)
        except Deferred:
            pass  # nothing can be written now: it is an orphan

    async def _store(self, piece: Piece) -> None:
        """Hand a piece to the writer; returns once so few are on their way that another may be."""
        self._check()
        uploads, began = self._uploads, self._uploads.monotonic()
        work = partial(_add_piece, self.content_id, self._next_place(), piece, uploads.node, self._began_at)
        pending = uploads.commit(work, len(piece[1]))
        uploads.on_their_way += 1
        self._on_their_way.append(pending)
        pending.add_done_callback(partial(self._over, began))
        if self._first is None:
            # The others need its number, and so does abort() where the client hangs up here.
            self._first = pending
            self.content_id = await asyncio.shield(pending)
        while self._on_their_way and not uploads.room(len(self._on_their_way)):
            await self._stored(len(self._on_their_way) - 1)
        self._check()

    async def _stored(self, left: int) -> None:
        """Returns once no more than ``left`` are on their way. Raises Deferred for one that couldn't be stored."""
        while len(self._on_their_way) > left:
            await asyncio.wait([self._on_their_way[0]])  # which leaves it alone when we are cancelled
        self._check()

    def _over(self, began: float, pending: asyncio.Future[int]) -> None:
        """A piece is on disk, or was refused."""
        self._on_their_way.remove(pending)
        self._uploads.over(self._uploads.monotonic() - began)
        error = pending.exception()
        if isinstance(error, Deferred):
            self._refusal = self._refusal or error

    def _check_whole(self) -> None:
        if not self._whole:
            raise Deferred(451, "4.3.0", "mail can't be stored now, try again later")

    def _check(self) -> None:
        if self._refusal is not None:
            raise self._refusal

    def _next_place(self) -> int:
        if self._place == PLACES:
            raise Rejected(552, "5.3.4", "message too big")
        self._place += 1
        return self._place - 1


class Uploads:
    """Those of a node, and how much of them is on its way to the disk. ``monotonic``: its clock."""

    def __init__(
        self, commit: Commit, pack: Callable[[bytes], Awaitable[Piece]], node: str, monotonic: Callable[[], float]
    ) -> None:
        self.commit = commit
        self.pack = pack
        self.node = node
        self.monotonic = monotonic
        self.on_their_way = 0
        self._took = 0.0

    def begin(self, now: float) -> Upload:
        return Upload(self, now)

    def room(self, of_one: int) -> bool:
        """Whether a message may have one more on its way that has so many."""
        return not of_one or (self._took >= SLOW and of_one < MOST and self.on_their_way < ALL)

    def over(self, took: float) -> None:
        """One has come to its end, in so many seconds."""
        self.on_their_way -= 1
        self._took = took


def _add_piece(
    content_id: int | None, place: int, piece: Piece, node: str, now: float, statements: Statements, _: Deltas
) -> int:
    if content_id is None:
        content_id = statements.new_content()
        statements.execute("INSERT INTO incoming (content_id, node, began_at) VALUES (?,?,?)", (content_id, node, now))
    statements.execute("INSERT INTO content (id, packed, data) VALUES (?,?,?)", (content_id * PLACES + place, *piece))
    return content_id


def remove_incoming(content_id: int, statements: Statements, deltas: Deltas) -> int:
    """Remove content that never became mail; returns how many there were (0: it has become mail, or is gone)."""
    removed = statements.execute("DELETE FROM incoming WHERE content_id = ?", (content_id,)).rowcount
    if removed:
        statements.execute(
            "DELETE FROM content WHERE id >= ? AND id < ?", (content_id * PLACES, (content_id + 1) * PLACES)
        )
    return removed


def remove_abandoned(now: float, statements: Statements, deltas: Deltas) -> int:
    """Remove one content that any node began too long ago; returns how many there were."""
    row = statements.execute(
        "SELECT content_id FROM incoming WHERE began_at < ? ORDER BY content_id LIMIT 1", (now - ABANDONED,)
    ).fetchone()
    return remove_incoming(row[0], statements, deltas) if row is not None else 0


def remove_orphans(node: str, now: float, statements: Statements, deltas: Deltas) -> int:
    """At the start of ``node``: remove what it was receiving when it ended, and what any node began too long ago."""
    began = "SELECT content_id FROM incoming WHERE node = ? OR began_at < ?"
    rows = statements.execute(began, (node, now - ABANDONED))
    return sum(remove_incoming(content_id, statements, deltas) for (content_id,) in rows.fetchall())
