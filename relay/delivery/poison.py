"""Messages at whose sending this program itself breaks down: three times, and they are held.

Which messages are being sent stands in a small file that is mapped into memory, so that to note a start costs nothing
and yet outlives the death of the process; a power cut, which is no message's fault, may lose it. What is found there
at the next start counts one breakdown for each, in the database, and so does an exception of our own code. A message
with a breakdown is sent alone from then on (see ``backlog``), so that the guilty are soon told from the bystanders.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import BigInteger, Column, Connection, Float, Integer, Table, delete, insert, select, update

from relay.db import metadata
from relay.errors import StartFailed

SLOTS = 8192
"""Messages noted at once; what is beyond isn't noted, and goes out all the same."""
FORGET_AFTER = 30 * 86400.0
"""Seconds after which a breakdown counts no more."""

breakdowns = Table(
    "breakdowns",
    metadata,
    Column("message_id", BigInteger, primary_key=True, autoincrement=False),
    Column("times", Integer, nullable=False),
    Column("at", Float, nullable=False),
)

_SLOT = struct.Struct("=q")


class InFlight:
    """The numbers of the messages that are being sent, in ``path``. One process at a time; used on the loop alone.

    Raises StartFailed where there is no room for it, or no right to it.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                # Not ftruncate(): to write to a hole of a mapped file on a full disk is the process's death (SIGBUS).
                os.posix_fallocate(self._file, 0, SLOTS * _SLOT.size)
            except OSError:
                os.close(self._file)
                raise
        except OSError as error:
            raise StartFailed(f"can't make {path}: {error.strerror}") from error
        self._map = mmap.mmap(self._file, SLOTS * _SLOT.size)
        self.left_over = frozenset(number for (number,) in _SLOT.iter_unpack(self._map) if number)
        """What was being sent when the process before this one died."""
        self._map[:] = bytes(SLOTS * _SLOT.size)
        self._free = list(range(SLOTS))
        self._slots: dict[int, int] = {}

    def add(self, message_id: int) -> None:
        if not self._map.closed and self._free and message_id not in self._slots:
            slot = self._slots[message_id] = self._free.pop()
            _SLOT.pack_into(self._map, slot * _SLOT.size, message_id)

    def discard(self, message_id: int) -> None:
        slot = self._slots.pop(message_id, None)
        if slot is not None and not self._map.closed:
            _SLOT.pack_into(self._map, slot * _SLOT.size, 0)
            self._free.append(slot)

    def holds(self, message_id: int) -> bool:
        """Whether the message is being sent, as far as that is noted."""
        return message_id in self._slots

    def close(self) -> None:
        """A clean end: whatever is in flight still, this program hasn't died of it."""
        if not self._map.closed:
            self._map[:] = bytes(SLOTS * _SLOT.size)
            self._map.close()
            os.close(self._file)


def load(connection: Connection, now: float) -> dict[int, int]:
    """How often the program broke down at each message; old ones are forgotten. Writes."""
    connection.execute(delete(breakdowns).where(breakdowns.c.at < now - FORGET_AFTER))
    return {row.message_id: row.times for row in connection.execute(select(breakdowns))}


def book(connection: Connection, message_ids: Iterable[int], now: float) -> None:
    """One more breakdown for each."""
    for message_id in message_ids:
        same = breakdowns.c.message_id == message_id
        again = update(breakdowns).where(same).values(times=breakdowns.c.times + 1, at=now)
        if not connection.execute(again).rowcount:
            connection.execute(insert(breakdowns).values(message_id=message_id, times=1, at=now))


def forget(connection: Connection, message_ids: Iterable[int]) -> None:
    """They have an outcome: what was is settled."""
    connection.execute(delete(breakdowns).where(breakdowns.c.message_id.in_(list(message_ids))))
