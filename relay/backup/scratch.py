"""Where a backup takes shape: a hidden folder beside its place, so that what stands there is whole or not there.

The folder is locked for as long as its process lives; what a killed one left behind goes with the next.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from relay.errors import BackupError

PREFIX = ".relay-backup-"


@contextmanager
def scratch(beside: Path) -> Iterator[Path]:
    """An empty folder in ``beside`` that nobody else may read, gone when the block is left. Raises BackupError."""
    try:
        _sweep(beside)
        folder, handle = _make(beside)
    except OSError as error:
        raise BackupError(f"can't write in {beside}: {error.strerror or error}") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def sync(path: Path) -> None:
    """A file's content, or a folder's names, are on disk when this returns."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _make(beside: Path) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=beside))
        handle = os.open(folder, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX)
        if folder.exists():  # another process may have swept it before it was locked
            return folder, handle
        os.close(handle)


def _sweep(beside: Path) -> None:
    for left in beside.glob(f"{PREFIX}*"):
        try:
            handle = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)
        except BlockingIOError:
            pass  # its process lives
        finally:
            os.close(handle)
