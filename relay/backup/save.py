"""Saving a database: a copy of one moment, looked through, as one file that is whole or not there.

The copy shows everything that was answered 250 before its moment. Nodes go on; what they need of the disk is left to
them. What is found wrong in the copy is said, and stands in its manifest; it is kept all the same, for it may be the
best there is.
"""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from relay.backup import archive, postgres, sqlite
from relay.backup.check import faults
from relay.backup.counts import counts, revision
from relay.backup.manifest import Manifest
from relay.backup.record import Made
from relay.backup.room import Room
from relay.backup.scratch import scratch, sync
from relay.clock import Clock
from relay.db import Database, revisions
from relay.errors import BackupError, DatabaseMissing, DatabaseNewer


@dataclass(frozen=True, slots=True)
class Source:
    """What is saved. ``url``: of the database, past a pooler; ``keep_free``: bytes of its disk that are to stay free;
    ``version`` and ``host``: of this program, and where it runs."""

    url: str
    keep_free: int
    version: str
    host: str


@dataclass(frozen=True, slots=True)
class Saved:
    """A backup that is where it should be."""

    manifest: Manifest
    made: Made


def to_file(source: Source, path: Path, clock: Clock, *, packed: bool) -> Saved:
    """Save to ``path``; a backup that stood there is replaced at the very end. Raises BackupError, DatabaseError."""
    began = clock.monotonic()
    _look(path)
    with scratch(path.parent) as folder:
        about, database, room = _copy(source, folder, clock, packed=packed)
        whole = folder / "backup"
        try:
            with os.fdopen(os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
                archive.write(out, about, database, packed=packed, step=room.step)
                out.flush()
                os.fsync(out.fileno())
            size = whole.stat().st_size
            whole.replace(path)
            sync(path.parent)
        except OSError as error:
            raise BackupError(f"can't write {path}: {error.strerror or error}") from error
    return Saved(about, Made(about.made_at, clock.monotonic() - began, str(path.resolve()), size, not about.faults))


def _look(path: Path) -> None:
    """Raises BackupError where something else than a backup stands: a name is soon mistyped, also by root."""
    try:
        if path.exists():
            if not path.is_file():
                raise BackupError("it is no file")
            if path.stat().st_size:  # what mktemp makes is empty
                with path.open("rb") as file:
                    archive.peek(file)
    except BackupError as error:
        raise BackupError(f"{path} is there already, and no backup: nothing is overwritten ({error})") from error
    except OSError as error:
        raise BackupError(f"can't write {path}: {error.strerror or error}") from error


def to_stream(source: Source, out: BinaryIO, clock: Clock, *, packed: bool, beside: Path, place: str) -> Saved:
    """Save to a pipe, by way of the folder ``beside``; ``place``: what to call it. Raises as :func:`to_file` does."""
    began = clock.monotonic()
    with scratch(beside) as folder:
        about, database, room = _copy(source, folder, clock, packed=packed)
        counted = _Counted(out)
        archive.write(counted, about, database, packed=packed, step=room.step)  # type: ignore[arg-type]
        out.flush()
    return Saved(about, Made(about.made_at, clock.monotonic() - began, place, counted.size, not about.faults))


def _copy(source: Source, folder: Path, clock: Clock, *, packed: bool) -> tuple[Manifest, Path, Room]:
    """A copy in ``folder``, with what is to be said of it."""
    live = Database(source.url, check=False)
    try:
        room = Room(folder, live.path, source.keep_free)
        if live.path is not None and not live.path.is_file():
            raise DatabaseMissing(f"no database at {live.path}; 'relayctl init' makes one")
        with live.read() as connection:
            found = revision(connection)
        if found is None:
            raise DatabaseMissing(f"{live.name} has no tables yet: there is nothing to save")
        if found not in revisions():
            raise DatabaseNewer(f"{live.name} was made by a newer version of this program; save it with that version")
        if live.path is not None:
            return *_copy_file(source, live.path, folder, found, room, clock), room
        return *_copy_server(source, live, folder, found, room, clock, packed=packed), room
    finally:
        live.close()


def _copy_file(source: Source, path: Path, folder: Path, found: str, room: Room, clock: Clock) -> tuple[Manifest, Path]:
    room.need(2 * path.stat().st_size)  # the copy, and the archive of it
    target = folder / "relay.db"
    try:
        made_at = sqlite.copy(path, target, room.step, clock.now)
    except sqlite3.Error as error:
        raise BackupError(f"can't copy {path} to {folder.parent}: {error}") from error
    copied = Database(f"sqlite:///{target}", check=False)
    current = found == revisions()[-1]
    try:
        with copied.read() as connection:
            held = counts(connection)
        wrong = tuple(faults(copied, room.step)) if current else ()
    finally:
        copied.close()
    size = target.stat().st_size
    about = Manifest("sqlite", source.version, found, made_at, source.host, size, held, current, wrong)
    return about, target


def _copy_server(
    source: Source, live: Database, folder: Path, found: str, room: Room, clock: Clock, *, packed: bool
) -> tuple[Manifest, Path]:
    target = folder / "relay.dump"
    with live.read() as connection:
        room.need(2 * postgres.size(connection))
        held, made_at = counts(connection), clock.now()
        postgres.dump(source.url, connection, target, room.step, packed=packed)
    size = target.stat().st_size
    # It isn't looked through: that takes a server to restore it to.
    about = Manifest("postgresql", source.version, found, made_at, source.host, size, held, False, ())
    return about, target


class _Counted:
    """A stream that is written to, and how much."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self.size = 0

    def write(self, data: bytes) -> int:
        self._out.write(data)
        self.size += len(data)
        return len(data)
