"""A backup as one file: a tar of manifest.json, the database, and SHA256SUMS over both; packed with zstd if asked.

``tar xf`` and ``sha256sum -c SHA256SUMS`` open and check it anywhere. It is written and read in one pass, so it may
come from a pipe and go into one. What is read is believed only once the last of it has come and every sum is right;
no name in it is ever used as a path.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import zstandard

from relay.backup import manifest as manifests
from relay.backup.manifest import PAYLOADS, Manifest
from relay.errors import BackupError

MANIFEST, SUMS = "manifest.json", "SHA256SUMS"
BLOCK = 1024 * 1024
MAX_TEXT = 1024 * 1024
"""Bytes of a manifest, or of the sums."""
_ZSTD = b"\x28\xb5\x2f\xfd"

Step = Callable[[], None]
"""Called after each block; raises what ends the work."""


def write(out: BinaryIO, about: Manifest, database: Path, *, packed: bool, step: Step) -> None:
    """The whole archive into ``out``."""
    text = json.dumps(about.facts(), indent=2, ensure_ascii=False).encode() + b"\n"
    sums = [f"{hashlib.sha256(text).hexdigest()}  {MANIFEST}\n"]
    with (
        _packing(out, packed) as stream,
        tarfile.open(fileobj=stream, mode="w|", bufsize=BLOCK) as tar,
    ):
        _add(tar, MANIFEST, io.BytesIO(text), len(text), about.made_at)
        with database.open("rb") as file:
            counted = _Summed(file, step)
            _add(tar, about.payload, counted, about.size, about.made_at)
        sums.append(f"{counted.sum.hexdigest()}  {about.payload}\n")
        last = "".join(sums).encode()
        _add(tar, SUMS, io.BytesIO(last), len(last), about.made_at)


def unpack(source: BinaryIO, folder: Path, step: Step) -> tuple[Manifest, Path]:
    """The manifest, and the database as a file of ``folder``. Raises BackupError where anything is missing or wrong."""
    try:
        with _unpacking(source) as stream, tarfile.open(fileobj=stream, mode="r|", bufsize=BLOCK) as tar:
            text = _text(tar, MANIFEST)
            about = manifests.read(text)
            sums = {MANIFEST: hashlib.sha256(text).hexdigest()}
            database = folder / PAYLOADS[about.engine]
            member = _next(tar, about.payload)
            if member.size != about.size:
                raise BackupError(f"the database in it has {member.size} bytes, {about.size} are announced")
            sums[about.payload] = _extract(tar, member, database, step)
            announced = {name: found for found, name in map(str.split, _text(tar, SUMS).decode().splitlines())}
    except (tarfile.TarError, zstandard.ZstdError, EOFError, ValueError) as error:
        raise BackupError(f"it is damaged, or no backup of this program: {error}") from error
    for name, found in sums.items():
        if announced.get(name) != found:
            raise BackupError(f"it is damaged: the checksum of {name} in it is wrong")
    return about, database


def peek(source: BinaryIO) -> Manifest:
    """The manifest alone, unverified. Raises BackupError."""
    try:
        with _unpacking(source) as stream, tarfile.open(fileobj=stream, mode="r|", bufsize=BLOCK) as tar:
            return manifests.read(_text(tar, MANIFEST))
    except (tarfile.TarError, zstandard.ZstdError, EOFError) as error:
        raise BackupError(f"it is damaged, or no backup of this program: {error}") from error


class _Summed:
    """A file that is read once, with the sum over what was read."""

    def __init__(self, file: BinaryIO, step: Step) -> None:
        self._file = file
        self._step = step
        self.sum = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.sum.update(data)
        self._step()
        return data


def _add(tar: tarfile.TarFile, name: str, content: Any, size: int, at: float) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.mode = size, int(at), 0o600
    tar.addfile(member, content)


def _next(tar: tarfile.TarFile, name: str) -> tarfile.TarInfo:
    member = tar.next()
    if member is None or member.name != name or not member.isreg():
        raise BackupError(f"it is damaged, or no backup of this program: no {name} where it should be")
    return member


def _text(tar: tarfile.TarFile, name: str) -> bytes:
    member = _next(tar, name)
    if member.size > MAX_TEXT:
        raise BackupError(f"it is damaged: {name} in it has {member.size} bytes")
    return _file(tar, member).read()


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path, step: Step) -> str:
    """Write a member to ``path``, on disk when this returns; its sum."""
    content, counted = _file(tar, member), hashlib.sha256()
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        while data := content.read(BLOCK):
            counted.update(data)
            file.write(data)
            step()
        file.flush()
        os.fsync(file.fileno())
    return counted.hexdigest()


def _file(tar: tarfile.TarFile, member: tarfile.TarInfo) -> BinaryIO:
    content = tar.extractfile(member)
    if content is None:
        raise BackupError(f"it is damaged: {member.name} in it is no file")
    return cast(BinaryIO, content)


@contextmanager
def _packing(out: BinaryIO, packed: bool) -> Iterator[BinaryIO]:
    if not packed:
        yield out
        return
    with zstandard.ZstdCompressor(level=3, write_checksum=True).stream_writer(out, closefd=False) as stream:
        yield cast(BinaryIO, stream)


@contextmanager
def _unpacking(source: BinaryIO) -> Iterator[BinaryIO]:
    """By what the first bytes are; ``source`` needn't be able to go back."""
    head = source.read(len(_ZSTD))
    joined = _Joined(head, source)
    if head != _ZSTD:
        yield cast(BinaryIO, joined)
        return
    with zstandard.ZstdDecompressor().stream_reader(cast(BinaryIO, joined), read_across_frames=True) as stream:
        yield cast(BinaryIO, stream)


class _Joined:
    """Bytes that were read already, then the rest of where they came from."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head = head
        self._rest = rest

    def read(self, size: int = -1) -> bytes:
        if not self._head:
            return self._rest.read(size)
        head, self._head = self._head, b""
        if 0 <= size < len(head):
            head, self._head = head[:size], head[size:]
        return head
