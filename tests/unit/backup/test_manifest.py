"""What a backup says of itself is believed only where it makes sense."""

from __future__ import annotations

import json

import pytest

from relay.backup.manifest import Counts, Manifest, read
from relay.errors import BackupError, DatabaseNewer

COUNTS = Counts(messages=3, accepted=9, delivered=5, queued=3, held=1, reports=0, tickets=2)
ABOUT = Manifest("sqlite", "0.1.0", "0002_b", 1_800_000_000.5, "n1", 8192, COUNTS, True, ("one fault",))


def written(**changes: object) -> bytes:
    return json.dumps({**ABOUT.facts(), **changes}).encode()


def test_what_was_written_is_read() -> None:
    """Down to the fraction of a second."""
    assert read(written()) == ABOUT
    assert (ABOUT.payload, ABOUT.facts()["made"]) == ("relay.db", "2027-01-15T08:00:00Z")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "can't be read: JSONDecodeError"),
        (b"[]", "can't be read: TypeError"),
        (b"\xff", "can't be read: UnicodeDecodeError"),
        (b"{}", "can't be read: KeyError"),
        (written(format=2), "format 2, which this program doesn't know"),
        (written(engine="other"), "of an unknown kind: other"),
        (written(counts={}), "can't be read: KeyError"),
        (written(size="many"), "can't be read: ValueError"),
        (written(faults=None), "can't be read: TypeError"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(text: bytes, said: str) -> None:
    """Whatever is wrong with it."""
    with pytest.raises(BackupError, match=said):
        read(text)


def test_a_revision_is_the_newest_an_older_one_or_unknown() -> None:
    """An unknown one is of a version that is newer."""
    assert ABOUT.check_revision(["0001_a", "0002_b"])
    assert not ABOUT.check_revision(["0001_a", "0002_b", "0003_c"])
    with pytest.raises(DatabaseNewer, match=r"of version 0\.1\.0 \(revision 0002_b\), newer than this program"):
        ABOUT.check_revision(["0001_a"])
