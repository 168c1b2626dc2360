"""Bringing a backup back: in the place of a database that nobody lives on, which is kept under another name.

Everything is made ready beside it, verified, brought up to this program's version and settled (relay.backup.settle);
only then does it take the place. Where the process dies before, a file is as it was; of a database on a server no node
begins until the next restore has put back what was there. After it the mail is as old as the
backup: what was delivered since would be delivered again, what was accepted since isn't there.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from relay.backup import archive, postgres
from relay.backup.check import faults
from relay.backup.counts import counts, in_use
from relay.backup.manifest import Counts, Manifest
from relay.backup.quiet import living, quiet
from relay.backup.record import Restored
from relay.backup.room import Room
from relay.backup.scratch import scratch, sync
from relay.backup.settle import settle
from relay.db import Database, place, revisions, upgrade
from relay.errors import BackupError, DatabaseError, Refused
from relay.queue import operators

MODE = 0o640


@dataclass(frozen=True, slots=True)
class Present:
    """What is there now. ``counts``: None where it can't be read, for the reason that ``trouble`` says."""

    in_use: bool
    counts: Counts | None = None
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Opened:
    """A backup that was verified: its sums are right, and this program can use it. ``size``: bytes of the archive's
    database; ``current``: it needs no upgrade."""

    manifest: Manifest
    database: Path
    current: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """``aside``: where what was there before is now, empty where that was nothing; ``held``: recipients that wait for
    somebody to release them; ``upgraded``: it was of an older version."""

    aside: str
    held: int
    upgraded: bool


@contextmanager
def opened(source: BinaryIO, url: str, beside: Path) -> Iterator[Opened]:
    """Unpack and verify a backup for the database at ``url``, in a folder of ``beside``.

    Raises BackupError where it is damaged or of another kind of database, DatabaseNewer.
    """
    target = place(url)
    with scratch(beside) as folder:
        room = Room(folder, None)
        try:
            about, database = archive.unpack(source, folder, room.step)
        except OSError as error:
            raise BackupError(f"can't unpack it in {beside}: {error.strerror or error}") from error
        if about.engine != target.dialect:
            kinds = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
            raise BackupError(f"it is of a {kinds[about.engine]} database, and {target.name} is none")
        yield Opened(about, database, about.check_revision(revisions()))


def present(url: str) -> Present:
    """What a restore would replace. Raises DatabaseError where a server can't be reached."""
    where = place(url)
    if where.path is not None and not (where.path.exists() and where.path.stat().st_size):
        return Present(in_use=False)
    db = Database(url, check=False)
    try:
        with db.read() as connection:
            return Present(in_use(connection), counts(connection))
    except DatabaseError as error:
        if where.path is None:
            raise
        return Present(in_use=True, trouble=str(error))
    finally:
        db.close()


@contextmanager
def nobody_lives_on(url: str) -> Iterator[bool]:
    """Raises Refused where a node runs on the database; none can begin until the block is left. Yields whether a
    restore had been broken off, and what was there before it is there again."""
    where = place(url)
    if where.path is not None:
        with quiet(where.path):
            yield False
        return
    db = Database(url, check=False)
    try:
        with postgres.alone(db):
            if names := postgres.living(db):
                raise Refused(living(names, where.name))
            yield postgres.put_back(db)
    finally:
        db.close()


def bring_back(backup: Opened, url: str, before: Present, restored: Restored, *, faulty: bool) -> Outcome:
    """Put a backup in the place of the database at ``url``. ``faulty``: also one that faults are found in.

    Raises BackupError, DatabaseError; then everything is as it was.
    """
    moment = datetime.fromtimestamp(restored.restored_at, UTC).strftime("%Y%m%dt%H%M%Sz")
    where = place(url).path
    if where is None:
        aside, held = postgres.restore(
            url,
            backup.database,
            lambda: _make_ready(url, backup, restored, faulty=faulty),
            moment=moment,
            keep=before.in_use,
        )
        return Outcome(f"schema {aside}" if aside else "", held, not backup.current)
    held = _make_ready(f"sqlite:///{backup.database}", backup, restored, faulty=faulty)
    path = where.resolve()  # the file and not a link to it
    try:
        _dress(backup.database, path)
        kept = _put_aside(path, path.with_name(f"{path.name}.replaced-{moment}"), keep=before.in_use)
        backup.database.replace(path)
        sync(path.parent)
    except OSError as error:
        raise BackupError(f"can't write {path}: {error.strerror or error}") from error
    return Outcome(kept, held, not backup.current)


def _make_ready(url: str, backup: Opened, restored: Restored, *, faulty: bool) -> int:
    """Upgrade, look through, settle, hold; how many recipients are held for it."""
    upgrade(url, restoring=True)
    db = Database(url, check=False)
    try:
        wrong = faults(db, _no_step)
        if wrong and not faulty:
            more = f" (and {len(wrong) - 1} more faults)" if len(wrong) > 1 else ""
            raise BackupError(f"it is not sound: {wrong[0]}{more}; --force restores it all the same")
        with db.write() as connection:
            settle(connection, backup.manifest, backup.manifest.size, restored)
        return operators.stop(db, restored.restored_at, restored.restored_by) if restored.held else 0
    finally:
        db.close()


def _no_step() -> None:
    """Nothing is watched while nobody takes mail."""


def _dress(file: Path, path: Path) -> None:
    """Give a new file the mode and the owner that the database at ``path`` has, or should have; on disk then."""
    like = path if path.exists() else path.parent
    file.chmod(path.stat().st_mode & 0o777 if path.exists() else MODE)
    if os.geteuid() == 0:
        os.chown(file, like.stat().st_uid, like.stat().st_gid)
    sync(file)


def _put_aside(path: Path, aside: Path, *, keep: bool) -> str:
    """Give what is there another name, with its log of writes; the place is free of the latter then, which SQLite would
    take for the new file's. Returns the name, empty where there was nothing to keep."""
    if not path.exists():
        return ""
    try:
        raw = sqlite3.connect(path)
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        raw.close()
    except sqlite3.Error:
        pass  # it is damaged: then its log goes with it as it is
    logs = [suffix for suffix in ("-wal", "-shm") if Path(f"{path}{suffix}").exists()]
    if keep:
        for suffix in (*logs, ""):
            os.link(f"{path}{suffix}", f"{aside}{suffix}")
        sync(path.parent)
    for suffix in logs:
        Path(f"{path}{suffix}").unlink()
    return str(aside) if keep else ""
