"""A disk that can be made to fail: an ext4 image on a loop mount, shut down under whoever writes to it (root only)."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import need, need_root

_SHUTDOWN = 0x8004587D  # FS_IOC_SHUTDOWN, as in linux/fs.h
_NOLOGFLUSH = 2


@dataclass(frozen=True, slots=True)
class Disk:
    """A mounted file system of its own."""

    path: Path
    image: Path

    def fail(self) -> None:
        """From now on every write and fsync is an I/O error; what wasn't on the disk yet is lost."""
        handle = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, _SHUTDOWN, struct.pack("I", _NOLOGFLUSH))
        finally:
            os.close(handle)

    def remount(self) -> None:
        """As after the start of a machine that was cut off: what had reached the disk is there, and it works again.
        Nobody may have a file of it open."""
        subprocess.run(["umount", self.path], check=True)
        self.mount()

    def mount(self) -> None:
        subprocess.run(["mount", "-o", "loop", self.image, self.path], check=True)


@contextmanager
def failing_disk(path: Path, *, megabytes: int = 64) -> Iterator[Disk]:
    """A small disk mounted at ``path``."""
    need_root()
    mkfs = need("mkfs.ext4", "e2fsprogs")
    image = path.with_suffix(".img")
    path.mkdir()
    with image.open("wb") as file:
        file.truncate(megabytes * 1024**2)
    subprocess.run([mkfs, "-q", "-F", image], check=True)
    disk = Disk(path, image)
    disk.mount()
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


@contextmanager
def memory_disk(path: Path, *, megabytes: int) -> Iterator[Path]:
    """A file system in memory that is full at so many ``megabytes``, mounted at ``path``."""
    need_root()
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)
