"""The queue, as the other rooms see it: mail is accepted, handed out, and what became of it recorded.

Promises: what accept() or record() returned from is on disk, and survives kill -9 and a power cut; a message leaves
only with a trace row, when none of its recipients waits any more. Health, routes and retry times are decided
elsewhere.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from relay import events, log
from relay.clock import Clock
from relay.db import Database
from relay.errors import DatabaseError, Deferred, Rejected
from relay.queue import backlog, due, housekeeping, proofs, slices
from relay.queue.commands import Accept, Call, Record, change_of, split
from relay.queue.content import INLINE, Piece, pack, pack_whole
from relay.queue.failures import Failures
from relay.queue.ledger import Deltas
from relay.queue.model import Incoming, Outcome, Outgoing, Waiting
from relay.queue.reader import Reader, piece_ids, read_piece
from relay.queue.reports import Reports
from relay.queue.sqlite_store import SqliteStore
from relay.queue.statements import Statements
from relay.queue.states import WAITING, Reason, State
from relay.queue.sums import Depth, Sums
from relay.queue.upload import Upload, Uploads, remove_orphans
from relay.queue.writer import Store, Writer

T = TypeVar("T")


class Queue:
    """One for each node. ``on_accept`` is called on the loop with the appliances that got mail, after its commit.

    ``min_disk_free``: bytes of the disk that mail leaves free, where that is more than is reserved anyway.
    ``database_capacity``: bytes that the volume of a database on a server has, which nobody but an operator knows.
    ``keeps_house``: whether it is this node that forgets what is old, for all.
    """

    def __init__(
        self,
        db: Database,
        clock: Clock,
        node: str,
        *,
        on_accept: Callable[[Iterable[int]], None],
        min_disk_free: int = 0,
        database_capacity: int = 0,
        keeps_house: Callable[[], bool] = lambda: True,
    ) -> None:
        self._db = db
        self._clock = clock
        self._node = node
        self._on_accept = on_accept
        self._keeps_house = keeps_house
        self._sums = Sums()
        self._store = _store(db, clock, node, self._sums)
        self._store.reconfigure(min_disk_free, database_capacity)
        self._writer = Writer(self._store, clock, self._announce)
        self._reader = Reader(db)
        self._packers = ThreadPoolExecutor(2, "pack")
        self._uploads = Uploads(
            lambda work, weight: self._writer.submit(Call(work, weight)), self._pack, node, clock.monotonic
        )
        self.failures = Failures(db, self._call)
        """What has failed, and what is decided about it."""
        self.reports = Reports(db, self._call)
        """What is on its way to senders."""

    async def start(self) -> None:
        """Open the database, and remove what never became mail. Raises DatabaseError."""
        try:
            await self._writer.start()
            await self._reader.start()
            await self._call(partial(remove_orphans, self._node, self._clock.now()))
        except (sqlite3.Error, Deferred) as error:
            raise DatabaseError(f"{self._db.name}: {error.__cause__ or error}") from error

    async def run(self) -> None:
        """Keep house until cancelled. Raises DatabaseError when the writer ended by itself: the node must end too."""
        await housekeeping.keep(self._writer.ended, self._call, self._clock, self._count, self._keeps_house)

    async def close(self) -> None:
        """Commit what was submitted, then stop."""
        await self._writer.close()
        await self._reader.close()
        self._packers.shutdown()

    def reconfigure(self, min_disk_free: int, database_capacity: int = 0) -> None:
        """Another room for mail from the next look at it on, within a second."""
        self._store.reconfigure(min_disk_free, database_capacity)

    # --- mail comes in ---

    def disk_free(self) -> int | None:
        """Bytes that the disk has left for mail; None where nobody knows."""
        return self._store.disk_free()

    def check(self) -> None:
        """At MAIL. Raises Deferred: 452 4.3.1 without room, 451 4.3.0 where mail can't be stored soon."""
        self._writer.check()

    def depth_of_domain(self, domain: str) -> Depth:
        """What is here for a domain, for its quotas; from memory."""
        return self._sums.domain(domain)

    def depth(self, appliance_id: int) -> Depth:
        """Recipients queued and held for an appliance, and their messages' bytes; from memory."""
        return self._sums.appliance(appliance_id)

    def upload(self) -> Upload:
        """For content over 1 MiB: write it as it comes, hand it to accept(), abort() whatever came of it."""
        return self._uploads.begin(self._clock.now())

    async def accept(self, incoming: Incoming) -> list[int]:
        """Store a message; the numbers it got, one for each appliance. On disk when this returns.

        Raises Deferred: 452 4.3.1 where the disk is full, 451 4.3.0 where anything else failed. A caller that is
        cancelled leaves it open whether the message was stored.
        """
        content_id, pieces = await self._pieces(incoming)
        command = Accept(incoming, content_id, pieces, split(incoming))
        numbers: list[int] = await self._writer.submit(command, client=True)
        return numbers

    async def prove_write(self, domain: str, nonce: str, content: bytes) -> None:
        """Store a message of the loop proof. Raises Deferred, as accept() does; Rejected where ``nonce`` was used."""
        work = proofs.write(domain, nonce, content, self._clock.now())
        if not await self._writer.submit(Call(work, len(content))):
            raise Rejected(550, "5.7.1", "this proof was used before")

    async def consume_proof(self, nonce: str) -> bytes | None:
        """Read a proof message back and remove it; None where there is none. Raises Deferred."""
        return await self._call(proofs.consume(nonce))

    # --- mail goes out ---

    async def due(
        self, appliance_id: int, now: float, *, newest: bool = False, limit: int = 100, after: int | None = None
    ) -> list[Outgoing]:
        """Messages with recipients to be tried now, by number (descending when ``newest``), beyond ``after``.

        At most ``limit``, fewer where they have many recipients; an empty list means that nothing further is due.
        """
        found = await self._reader.read(
            partial(due.due, appliance_id=appliance_id, now=now, newest=newest, limit=limit, after=after)
        )
        return found()

    def content(self, message_id: int) -> asyncio.Future[bytes]:
        """Our Received line and the content as it came, asked for at once. Awaited it raises NotFound where the message
        is gone."""
        return self._reader.content(message_id)

    async def pieces(self, message_id: int) -> AsyncIterator[bytes]:
        """The same, some 256 KiB at a time, for large messages.

        Raises NotFound where the message is gone, also half way: what was sent of it must then not be ended as if it
        were whole.
        """
        for piece_id in await self._reader.read(partial(piece_ids, message_id)):
            yield await self._reader.read(partial(read_piece, message_id, piece_id))

    async def record(self, outcomes: Sequence[Outcome]) -> None:
        """Record what happened; on disk when this returns. Again is harmless, and so is what came too late.

        While nothing can be written it waits and tries again: what has happened must not be forgotten. Raises Deferred
        once the writer has ended.
        """
        command = Record(tuple(change_of(outcome) for outcome in outcomes))
        pause = 0.1
        while True:
            try:
                await self._writer.submit(command)
                return
            except Deferred:
                if self._writer.ended.done():
                    raise
            await asyncio.sleep(pause)
            pause = min(2 * pause, 5.0)

    async def waiting(self, appliance_id: int) -> Waiting:
        """What waits for an appliance."""
        return await self._db.run(backlog.waiting, appliance_id, self.depth(appliance_id))

    async def last_number(self) -> int:
        """The number of the newest message there ever was, for ``untried_since``."""
        return await self._db.run(backlog.last_number)

    async def untried_since(self, appliance_id: int, since: float, upto_message_id: int) -> int:
        """How many queued recipients of messages up to that number were not tried since then; 0: drained."""
        return await self._db.run(backlog.untried_since, appliance_id, since, upto_message_id)

    # --- decisions about an appliance's mail ---

    async def begin_outage(self, appliance_id: int, outage_id: int) -> None:
        """Count what waits now for an outage; what comes is counted for it while ``continuity.outage_id`` says so.

        Retry times of before are forgotten: all of it is tried when the appliance returns. Again is harmless.
        """
        for state in WAITING:
            await self._in_slices(partial(slices.recount, appliance_id, outage_id, state))

    async def release(self, appliance_id: int, reason: Reason) -> int:
        """What is held for a reason is queued again; how many recipients."""
        return await self._in_slices(partial(slices.release, appliance_id, reason))

    async def release_message(self, appliance_id: int, reason: Reason, message_id: int) -> int:
        """What is held of one message for a reason is queued again; how many recipients. Raises Deferred."""
        return await self._call(slices.release_message(appliance_id, reason, message_id, self._clock.now()))

    async def retry(self, appliance_id: int, domain: str) -> int:
        """What is queued for a domain loses its retry times; how many recipients. Raises Deferred."""
        return await self._in_slices(partial(slices.retry, appliance_id, domain))

    async def convert(self, appliance_id: int, from_reason: Reason, to_reason: Reason) -> int:
        """What is held for one reason is held for another; how many recipients."""
        return await self._in_slices(partial(slices.convert, appliance_id, from_reason, to_reason))

    async def expiring(self, appliance_id: int, at: float) -> int:
        """How many queued recipients will have expired at ``at``, with lifetimes as they are set now."""
        total, after = 0, 0
        while True:
            ids, last = await self._db.run(backlog.expiring, appliance_id, at, after, 10 * slices.ROWS)
            total += len(ids)
            if last is None:
                return total
            after = last

    # --- how ---

    async def _in_slices(self, verb: Callable[[float, int], Callable[..., slices.Slice]]) -> int:
        total, after = 0, 0
        while True:
            done, last = await self._call(verb(self._clock.now(), after))
            total += done
            if last is None:
                return total
            after = last
            await asyncio.sleep(slices.PAUSE)

    async def _call(self, work: Callable[[Statements, Deltas], T], weight: int = 0) -> T:
        result: T = await self._writer.submit(Call(work, weight))
        return result

    async def _pieces(self, incoming: Incoming) -> tuple[int | None, tuple[tuple[int, Piece], ...]]:
        if isinstance(incoming.content, Upload):
            return await incoming.content.finish(incoming.received)
        if len(incoming.content) <= INLINE:
            # Not by the writer: where it is busy, it waits for the interpreter's lock again behind each message.
            pieces = pack_whole(incoming.received, incoming.content)
        else:
            pieces = await self._in_packer(pack_whole, incoming.received, incoming.content)
        return None, tuple(enumerate(pieces))

    async def _pack(self, data: bytes) -> Piece:
        return pack(data) if len(data) <= INLINE else await self._in_packer(pack, data)

    def _in_packer(self, work: Callable[..., Any], *args: Any) -> Awaitable[Any]:
        return asyncio.get_running_loop().run_in_executor(self._packers, work, *args)

    def _announce(self, committed: Sequence[tuple[Any, Any]]) -> None:
        accepted = [(command, numbers) for command, numbers in committed if isinstance(command, Accept)]
        if not accepted:
            return
        with log.together():  # and not by each session, whose every line would be a turn of the interpreter's lock
            for command, numbers in accepted:
                incoming = command.incoming
                for number, domains in zip(numbers, command.domains(), strict=True):
                    events.accepted(number, incoming.envelope.sender, domains, incoming.size, incoming.client.ip)
        self._on_accept({appliance_id for command, _ in accepted for appliance_id, _ in command.messages})

    def _count(self) -> None:
        if (free := self.disk_free()) is not None:
            events.disk_free(free)
        for domain, depth in self._sums.domains().items():
            events.queue_depth(domain, State.QUEUED, depth.queued)
            events.queue_depth(domain, State.HELD, depth.held)


def _store(db: Database, clock: Clock, node: str, sums: Sums) -> Store:
    if db.dialect == "sqlite":
        return SqliteStore(db, clock, node, sums)
    from relay.queue.postgres_store import PostgresStore  # with its driver, as in relay.db

    return PostgresStore(db, clock, node, sums)
