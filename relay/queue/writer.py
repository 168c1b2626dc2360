"""The writer: one thread that turns whatever has gathered since the last commit into one transaction.

Promises: a result is handed out only after the commit that holds it; a batch that fails is rolled back and each
command tried again in a transaction of its own, so that one that can't be stored harms no other; a client that has
gone is skipped. If the thread ends, everybody who waits is told at once (451), and :attr:`Writer.ended` says why. An
error of the disk ends it on purpose: after a failed fsync a later one may lie.

Knows threads, batches and faults; what a command means, and SQL, is the store's business.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, Protocol

from relay import events
from relay.clock import Clock
from relay.errors import DatabaseError, Deferred
from relay.queue.gathering import Entry, Gathering

MAX_WAITING = 4096
"""Commands of clients that may wait; one more is refused."""
OLDEST = 5.0
"""Seconds a commit may wait before new mail is refused at MAIL."""
IDLE = 1.0
"""Seconds without a command after which the store may do its housekeeping."""


class Fault(Enum):
    """What an exception of the store means."""

    FULL = "no room left on the disk"
    BUSY = "the database is locked by another process"
    AWAY = "the database can't be reached, or can't be written now; whether a commit took place is not known"
    OTHER = "not understood, so temporary"
    FATAL = "the disk or the file can't be trusted any more"


class DiskFull(Exception):
    """What is left of the disk is reserved."""


TELLS_ALL = (Fault.BUSY, Fault.AWAY)
"""Faults that aren't one command's: nobody waits for them in turn."""


class Store(Protocol):
    """What the thread works on; its methods are called in the thread alone, but for the first three."""

    def check(self) -> None:
        """From memory. Raises Deferred where mail can't be stored now: 452 4.3.1 without room, or 451 4.3.0."""

    def disk_free(self) -> int | None:
        """Bytes left for mail; None where nobody knows."""

    def reconfigure(self, min_disk_free: int, database_capacity: int) -> None:
        """``min_disk_free``: bytes that mail leaves free, where that is more than is reserved anyway.
        ``database_capacity``: bytes that the database's volume has, where only an operator knows (0: nobody does)."""

    def open(self) -> None: ...

    def carry_out(self, commands: Sequence[Any]) -> list[Any]:
        """One transaction: committed when this returns a result for each command, rolled back when it raises."""

    def fault(self, error: BaseException) -> Fault: ...

    def tidy(self) -> None:
        """What has to be done now and then; called between commits, and quick."""

    def idle(self) -> bool:
        """A slice of what can wait for an idle moment; True if there is more of it."""

    def close(self) -> None: ...


class Writer:
    """Started and closed on the event loop; ``announce`` is called there with (command, result) of each commit."""

    def __init__(self, store: Store, clock: Clock, announce: Callable[[Sequence[tuple[Any, Any]]], None]) -> None:
        self._store = store
        self._clock = clock
        self._announce = announce
        self._batches: queue.SimpleQueue[list[Entry] | None] = queue.SimpleQueue()
        self._gathering: Gathering
        self._in_hand: list[Entry] = []
        self._closing = False
        self._loop: asyncio.AbstractEventLoop
        self._thread: threading.Thread | None = None
        self.ended: asyncio.Future[BaseException | None]
        """Done when the thread is: with the error that ended it, or None after :meth:`close`."""

    async def start(self) -> None:
        """Open the store. Raises what its ``open`` raises."""
        self._loop = asyncio.get_running_loop()
        self.ended = self._loop.create_future()
        self._gathering = Gathering(self._loop, self._batches.put)
        ready: asyncio.Future[None] = self._loop.create_future()
        thread = threading.Thread(target=self._work, args=(ready,), name="writer", daemon=True)
        thread.start()
        await ready
        self._thread = thread

    async def close(self) -> None:
        """Commit what has been submitted, then end the thread."""
        thread, self._closing = self._thread, True
        if thread is not None:
            while batch := self._gathering.take():
                self._batches.put(batch)
            self._batches.put(None)
            await asyncio.to_thread(thread.join)

    def check(self) -> None:
        """Raises Deferred where a commit submitted now would fail or take too long: 451 4.3.0, 452 4.3.1."""
        if self._closing or self.ended.done():
            raise Deferred(451, "4.3.0", "mail can't be stored now, try again later")
        batch = self._in_hand
        if batch and self._clock.monotonic() - batch[0].submitted_at > OLDEST:
            raise Deferred(451, "4.3.0", "storing mail takes too long now, try again later")
        self._store.check()

    def submit(self, command: Any, *, client: bool = False) -> asyncio.Future[Any]:
        """Hand over a command (with its ``weight`` in bytes); await the result of its commit.

        ``client``: on behalf of an SMTP client: refused when too many wait, and not begun once nobody waits for it.
        The future raises Deferred (452 4.3.1 or 451 4.3.0); so does this.
        """
        if self._closing or self.ended.done() or (client and len(self._gathering) >= MAX_WAITING):
            raise Deferred(451, "4.3.0", "mail can't be stored now, try again later")
        future: asyncio.Future[Any] = self._loop.create_future()
        self._gathering.add(Entry(command, future, self._clock.monotonic(), client))
        return future

    # --- in the thread ---

    def _work(self, ready: asyncio.Future[None]) -> None:
        try:
            self._store.open()
        except BaseException as error:
            self._tell(self._started, ready, error)
            return
        self._tell(self._started, ready, None)
        cause: BaseException | None = None
        try:
            self._serve()
        except BaseException as error:
            cause = error
            events.writer_ended(error)
        self._tell(self._end, cause)
        self._store.close()

    def _serve(self) -> None:
        pause = IDLE
        while True:
            try:
                batch = self._batches.get(timeout=pause)
            except queue.Empty:
                pause = 0.01 if self._tidy(idle=True) else IDLE
                continue
            pause = IDLE
            if batch is None:
                return
            self._in_hand = batch
            self._commit(batch)
            self._in_hand = []
            self._tell(self._gathering.free)
            self._tidy(idle=False)

    def _tidy(self, *, idle: bool) -> bool:
        """True if there is more to do. What fails here has cost nobody a message, and is tried again later."""
        try:
            self._store.tidy()
            return idle and self._store.idle()
        except Exception as error:
            if self._store.fault(error) is Fault.FATAL:
                raise
            if self._store.fault(error) is Fault.OTHER:
                events.fault("writer", error)
            return False

    def _commit(self, batch: list[Entry]) -> None:
        began = self._clock.monotonic()
        try:
            results = self._store.carry_out([entry.command for entry in batch])
        except Exception as error:
            fault = self._store.fault(error)
            if fault is Fault.FATAL:
                raise
            events.commit_failed(error, len(batch))
            if fault in TELLS_ALL or len(batch) == 1:
                self._tell(self._refuse, batch, fault, error)
            else:
                self._commit_one_by_one(batch)
            return
        events.committed(self._clock.monotonic() - began, len(batch))
        self._tell(self._hand_out, batch, results)

    def _commit_one_by_one(self, batch: list[Entry]) -> None:
        for place, entry in enumerate(batch):
            try:
                results = self._store.carry_out([entry.command])
            except Exception as error:
                fault = self._store.fault(error)
                if fault is Fault.FATAL:
                    raise
                events.commit_failed(error, 1)
                self._tell(self._refuse, batch[place:] if fault in TELLS_ALL else [entry], fault, error)
                if fault in TELLS_ALL:
                    return
            else:
                self._tell(self._hand_out, [entry], results)

    def _tell(self, callback: Callable[..., None], *args: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:
            pass  # the loop is closed: nobody is left to be told

    # --- on the loop ---

    @staticmethod
    def _started(ready: asyncio.Future[None], error: BaseException | None) -> None:
        if ready.done():
            return
        if error is None:
            ready.set_result(None)
        else:
            ready.set_exception(error)

    def _hand_out(self, batch: list[Entry], results: list[Any]) -> None:
        for entry, result in zip(batch, results, strict=True):
            if not entry.future.done():
                entry.future.set_result(result)
        self._announce([(entry.command, result) for entry, result in zip(batch, results, strict=True)])

    @staticmethod
    def _refuse(batch: list[Entry], fault: Fault, error: BaseException) -> None:
        for entry in batch:
            if not entry.future.done():
                entry.future.set_exception(_refusal(fault, error))

    def _end(self, error: BaseException | None) -> None:
        """The thread has ended: nobody may be left waiting."""
        left = list(self._in_hand)
        while not self._batches.empty():
            left += self._batches.get_nowait() or ()
        while batch := self._gathering.take():
            left += batch
        self._refuse(left, Fault.FATAL, error or DatabaseError("the writer was closed"))
        if not self.ended.done():
            self.ended.set_result(error)


def _refusal(fault: Fault, error: BaseException) -> Deferred:
    if fault is Fault.FULL:
        refusal = Deferred(452, "4.3.1", "no room left to store mail, try again later")
    else:
        refusal = Deferred(451, "4.3.0", "mail can't be stored now, try again later")
    refusal.__cause__ = error
    return refusal
