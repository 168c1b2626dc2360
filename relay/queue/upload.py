"""Large content, committed in pieces while it arrives, so that no single commit is long and no message is held whole.

It is no mail until the commit of its message row (``Queue.accept``), and no trace of it stays if that never comes:
:meth:`Upload.abort`, or the next start of the node, removes it.
"""

from __future__ import annotations

import asyncio
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


class Upload:
    """Made by ``Queue.upload()``, for one message. Write, then accept; abort() whatever came of it."""

    def __init__(self, commit: Commit, pack: Callable[[bytes], Awaitable[Piece]], node: str, now: float) -> None:
        self._commit = commit
        self._pack = pack
        self._node = node
        self._began_at = now
        self._tail = bytearray()
        self._pending: asyncio.Future[int] | None = None
        self._place = 1  # piece 0 is our Received line
        self._whole = True
        self.content_id: int | None = None
        """The number of the content; None until the first piece is on disk."""

    async def write(self, data: bytes | memoryview) -> None:
        """Take what came next; returns once whole pieces are on disk. Raises Deferred, as ``Queue.accept`` does."""
        self._tail += data
        while len(self._tail) >= PIECE:
            piece = bytes(self._tail[:PIECE])
            del self._tail[:PIECE]
            await self._store(await self._pack(piece))

    async def finish(self, received: bytes) -> tuple[int | None, tuple[tuple[int, Piece], ...]]:
        """What is still to be stored with the message row: (the number of the content, (place, piece) of the rest).

        Raises Deferred where a piece is missing, because its write() failed.
        """
        if not self._whole:
            raise Deferred(451, "4.3.0", "mail can't be stored now, try again later")
        line = await self._pack(received if self.content_id is not None else received + self._tail)
        pieces = [(0, line)]
        if self.content_id is not None:
            pieces += [(self._next_place(), await self._pack(piece)) for piece in cut(bytes(self._tail))]
        return self.content_id, tuple(pieces)

    async def abort(self) -> None:
        """Remove what was stored, unless it has become mail. Never raises: what is left goes at the next start."""
        try:
            if self._pending is not None:
                await self._commit(partial(remove_incoming, await asyncio.shield(self._pending)), 0)
        except Deferred:
            pass  # nothing can be written now; an orphan is removed at the next start, or a day later

    async def _store(self, piece: Piece) -> None:
        work = partial(_add_piece, self.content_id, self._next_place(), piece, self._node, self._began_at)
        # Shielded: a client that hangs up here must not make us forget the number that abort() needs.
        self._whole = False
        self._pending = self._commit(work, len(piece[1]))
        self.content_id = await asyncio.shield(self._pending)
        self._whole = True

    def _next_place(self) -> int:
        if self._place == PLACES:
            raise Rejected(552, "5.3.4", "message too big")
        self._place += 1
        return self._place - 1


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


def remove_orphans(node: str, day_ago: float, statements: Statements, deltas: Deltas) -> int:
    """At the start of ``node``: remove what it was receiving when it ended, and what any node began a day ago."""
    rows = statements.execute("SELECT content_id FROM incoming WHERE node = ? OR began_at < ?", (node, day_ago))
    return sum(remove_incoming(content_id, statements, deltas) for (content_id,) in rows.fetchall())
