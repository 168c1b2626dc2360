"""Messages written to files: each to one of its own in a folder, or all to one mailbox.

Promises: the octets of an .eml are those that the primary would get, with nothing added, so that DKIM verifies; a file
that has its final name is whole and on disk, whatever ends this process; nothing that is there is overwritten; a
message is never whole in memory. The envelope of an .eml stands beside it, in a .json of the same name.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from cli.mailbox import envelope_lines, quoted, separator
from cli.render import at
from relay.db import Database
from relay.errors import NotFound, Refused
from relay.queue.export import Sealed, envelope, pieces


def to_folder(db: Database, numbers: Iterable[int], folder: Path) -> tuple[int, int]:
    """Write each message to FOLDER; (how many were written, how many were there already). Raises Refused.

    Names sort by receipt and are a message's own, so that an export can be repeated, and goes on where it stopped.
    """
    written = there = 0
    with _trouble(folder, lambda: f"{written} written before it are whole"):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for number in numbers:
            with suppress(NotFound):  # it has left meanwhile
                sealed = envelope(db, number)
                name = f"{_stamp(sealed.received_at)}-{number:012}"
                if (folder / f"{name}.eml").exists():
                    there += 1
                    continue
                with _whole(folder / f"{name}.eml") as file:
                    file.writelines(pieces(db, number))
                    _describe(sealed, folder / f"{name}.json")
                written += 1
        _sync(folder)
    return written, there


def to_mailbox(db: Database, numbers: Iterable[int], path: Path) -> int:
    """Write all messages to one new mbox file; how many. Raises Refused."""
    written = 0
    with _trouble(path, lambda: "nothing is written"):
        if path.exists():
            raise Refused(f"{path} is there already; nothing is overwritten")
        with _whole(path) as file:
            for number in numbers:
                start = file.tell()
                try:
                    sealed = envelope(db, number)
                    file.write(separator(sealed.sender, sealed.received_at))
                    file.write(envelope_lines(sealed.sender, (one.address for one in sealed.recipients)))
                    file.writelines(quoted(pieces(db, number)))
                    written += 1
                except NotFound:  # it has left meanwhile
                    file.seek(start)
                    file.truncate()
        _sync(path.parent)
    return written


def _stamp(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y%m%dT%H%M%SZ")


def _describe(sealed: Sealed, path: Path) -> None:
    """The envelope, as JSON. One without its message was left by an export that was cut off: it is replaced."""
    facts: dict[str, Any] = {
        "id": sealed.id,
        "sender": sealed.sender,
        "recipients": [
            {
                "address": one.address,
                "domain": one.domain,
                "state": str(one.state),
                "reason": str(one.reason) if one.reason else None,
                "attempts": one.attempts,
                "last_reply": one.last_reply,
                "notify": one.notify,
                "orcpt": one.orcpt,
            }
            for one in sealed.recipients
        ],
        "received_at": at(sealed.received_at),
        "size": sealed.size,
        "message_id": sealed.message_id,
        "body": sealed.body,
        "smtputf8": sealed.smtputf8,
        "ret": sealed.ret,
        "envid": sealed.envid,
        "client": {
            "ip": sealed.client.ip,
            "port": sealed.client.port,
            "helo": sealed.client.helo,
            "protocol": sealed.client.protocol,
        },
    }
    path.unlink(missing_ok=True)
    with _whole(path) as file:
        file.write(json.dumps(facts, indent=2, ensure_ascii=False).encode() + b"\n")


@contextmanager
def _whole(path: Path) -> Iterator[BinaryIO]:
    """A new file, for its owner alone, that has its name once it is whole and on disk; else there is none."""
    handle, temporary = tempfile.mkstemp(prefix=".export-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)  # unlike a rename, it fails where there is a file of that name
    finally:
        with suppress(FileNotFoundError):
            Path(temporary).unlink()


def _sync(folder: Path) -> None:
    """The names in a folder are on disk, too."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _trouble(path: Path, so_far: Callable[[], str]) -> Iterator[None]:
    """A full disk, a missing right: one line that says what is there now."""
    try:
        yield
    except OSError as error:
        raise Refused(f"{path}: {(error.strerror or str(error)).lower()}; {so_far()}") from error
