"""The clients' own ledger: what the relay has answered 250 to, written down and synced before anybody counts it.

It is the truth that the relay is held to. A line is the number of a letter; lines of clients that come at the same time
share one fsync, as the relay's commits do.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path


class Ledger:
    """A file that is only appended to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("ab", buffering=0)
        self._lines: list[bytes] = []
        self._written: asyncio.Future[None] | None = None
        self._writing: asyncio.Task[None] | None = None

    async def write(self, number: int) -> None:
        """Enter a letter that got 250; it is on disk when this returns."""
        self._lines.append(b"%d\n" % number)
        if self._written is None:
            self._written = asyncio.get_running_loop().create_future()
        written = self._written
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        await asyncio.shield(written)

    async def close(self) -> None:
        """Finish what has been begun."""
        if self._writing is not None:
            await self._writing
        self._file.close()

    def read(self) -> set[int]:
        """What is written, from the file."""
        return {int(line) for line in self._path.read_bytes().splitlines()}

    async def _write(self) -> None:
        while self._written is not None:
            lines, written = b"".join(self._lines), self._written
            self._lines, self._written = [], None
            await asyncio.to_thread(self._sync, lines)
            written.set_result(None)
        self._writing = None

    def _sync(self, lines: bytes) -> None:
        self._file.write(lines)
        os.fdatasync(self._file.fileno())
