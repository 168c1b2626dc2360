"""What has been submitted and isn't in a transaction yet, and when it goes into one: group commit.

A transaction takes the same statements, the same wait for the disk and the same turns of the interpreter's lock for one
message as for thirty. So what is submitted while the writer is at work gathers for its next transaction, and that one
begins when the loop has nothing else to do: as long as it has, more comes in a moment. Nobody waits for that longer
than LONGEST, and who is alone doesn't wait at all.

Lives on the loop. Promises: one batch at a time is with the writer, in the order in which its commands were submitted.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MAX_BATCH = 256
"""Commands in one transaction."""
MAX_BATCH_BYTES = 8 * 1024 * 1024
"""Content in one transaction (but always one command): a commit stays well under a second."""
LONGEST = 0.004
"""Seconds that a free writer waits for a busy loop: less than the round trips of a message."""
ENOUGH = 128 * 1024
"""Bytes of content for which it waits no longer: to write them takes more than all that is the same for each commit."""
NOTHING = 0.0001
"""Seconds of a turn of the loop that had nothing to do: a few commands of a few sessions take longer."""


@dataclass(slots=True, eq=False)
class Entry:
    """A command (with its ``weight`` in bytes) and whoever waits for it. ``droppable``: pointless once nobody waits."""

    command: Any
    future: asyncio.Future[Any]
    submitted_at: float
    droppable: bool


class Gathering:
    """``begin`` is called with each batch once the writer is free, as it is at first; ``free()`` says so again."""

    def __init__(self, loop: asyncio.AbstractEventLoop, begin: Callable[[list[Entry]], None]) -> None:
        self._loop = loop
        self._begin = begin
        self._entries: deque[Entry] = deque()
        self._weight = 0
        self._free = True
        self._watching = False
        self._looked_at = self._until = 0.0

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: Entry) -> None:
        self._entries.append(entry)
        self._weight += entry.command.weight
        self._watch()

    def free(self) -> None:
        """The writer has done what it was given."""
        self._free = True
        self._watch()

    def take(self) -> list[Entry]:
        """The next batch, without commands that nobody waits for any more; empty where nothing else is left."""
        batch: list[Entry] = []
        weight = 0
        while self._entries and len(batch) < MAX_BATCH and weight < MAX_BATCH_BYTES:
            entry = self._entries.popleft()
            self._weight -= entry.command.weight
            if not (entry.droppable and entry.future.cancelled()):
                batch.append(entry)
                weight += entry.command.weight
        return batch

    def _watch(self) -> None:
        """Look, from the next turn of the loop on, whether it has anything else to do."""
        if self._free and self._entries and not self._watching:
            self._watching = True
            self._looked_at = time.monotonic()
            self._until = self._looked_at + LONGEST
            self._loop.call_soon(self._look)

    def _look(self) -> None:
        before, now = self._looked_at, time.monotonic()
        more_to_come = now - before > NOTHING and now < self._until
        if more_to_come and self._weight < ENOUGH and len(self._entries) < MAX_BATCH:
            self._looked_at = now
            self._loop.call_soon(self._look)
            return
        self._watching = False
        batch = self.take()
        if batch:
            self._free = False
            self._begin(batch)
