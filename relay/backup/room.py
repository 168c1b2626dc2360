"""Whether a backup takes room that mail needs: it ends before senders get 452 for its sake."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from relay.errors import BackupError
from relay.queue.space import disk_free

LEFT = 64 * 1024 * 1024
"""Bytes that are left for mail at least, beyond what is reserved anyway."""
EVERY = 0.05
"""Seconds between two looks."""


class Room:
    """The room in ``folder``; ``mail``: the file that mail is kept in, None where that is another machine's."""

    def __init__(self, folder: Path, mail: Path | None, keep: int = 0) -> None:
        self._folder = folder
        self._keep = keep
        shared = mail is not None and folder.stat().st_dev == mail.parent.stat().st_dev
        self._mail = mail if shared else None
        self._looked_at = float("-inf")

    def need(self, size: int) -> None:
        """Raises BackupError where ``size`` bytes more would be too many."""
        if self._free() < size:
            raise BackupError(
                f"no room in {self._folder}: {size / 1e6:.0f} MB are needed"
                + (" beside what mail needs on the same disk; write it to another one" if self._mail else "")
            )

    def step(self) -> None:
        """The same, for what was written already; to be called often."""
        if time.monotonic() - self._looked_at >= EVERY:
            self._looked_at = time.monotonic()
            self.need(0)

    def _free(self) -> int:
        if self._mail is not None:
            return disk_free(self._mail, self._keep) - LEFT
        return shutil.disk_usage(self._folder).free
