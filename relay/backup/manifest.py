"""What a backup says of itself: by whom it was made, when, of what, and how much mail it holds. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from relay.clock import iso
from relay.errors import BackupError, DatabaseNewer

FORMAT = 1

Engine = Literal["sqlite", "postgresql"]
PAYLOADS: dict[Engine, str] = {"sqlite": "relay.db", "postgresql": "relay.dump"}
"""What the database itself is called in the archive: a file of SQLite, or pg_dump's custom format."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How much was there: messages, and the ledger's recipients of all domains; ``tickets``: the open ones."""

    messages: int
    accepted: int
    delivered: int
    queued: int
    held: int
    reports: int
    tickets: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """``made_at``: POSIX seconds, the moment that the backup shows; ``size``: bytes of the database in it; ``faults``:
    what was found wrong when it was made, ``checked``: whether anybody looked."""

    engine: Engine
    version: str
    revision: str
    made_at: float
    made_by: str
    size: int
    counts: Counts
    checked: bool
    faults: tuple[str, ...]

    @property
    def payload(self) -> str:
        """The name of the database in the archive."""
        return PAYLOADS[self.engine]

    def facts(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"format": FORMAT, **asdict(self), "made": iso(self.made_at), "faults": list(self.faults)}

    def check_revision(self, known: Sequence[str]) -> bool:
        """Whether it is of this program's newest revision; ``known``: all of them, oldest first.

        Raises DatabaseNewer where this program doesn't know it.
        """
        if self.revision not in known:
            raise DatabaseNewer(
                f"this backup is of version {self.version} (revision {self.revision}), newer than this program; "
                "install that version"
            )
        return self.revision == known[-1]


def read(text: bytes) -> Manifest:
    """Raises BackupError for what is none, or of a later format."""
    try:
        found = json.loads(text)
        if found["format"] != FORMAT:
            raise BackupError(f"this backup has format {found['format']}, which this program doesn't know")
        if found["engine"] not in PAYLOADS:
            raise BackupError(f"this backup is of a database of an unknown kind: {found['engine']}")
        return Manifest(
            engine=found["engine"],
            version=str(found["version"]),
            revision=str(found["revision"]),
            made_at=float(found["made_at"]),
            made_by=str(found["made_by"]),
            size=int(found["size"]),
            counts=Counts(**{name: int(found["counts"][name]) for name in Counts.__dataclass_fields__}),
            checked=bool(found["checked"]),
            faults=tuple(map(str, found["faults"])),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BackupError(f"its manifest can't be read: {type(error).__name__}: {error}") from error
