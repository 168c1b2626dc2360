"""relayctl db check: what is wrong with a database, or with a backup of it."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.integration.backup.conftest import Mail
from tests.integration.cli.console import Relayctl

pytestmark = pytest.mark.sqlite_only("how a file is saved and restored; test_postgres has a server's")

PAGE = 8192


def alter(relayctl: Relayctl, statement: str) -> None:
    with closing(sqlite3.connect(relayctl.folder / "relay.db")) as raw:
        raw.execute(statement)
        raw.commit()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("UPDATE ledger SET accepted = accepted + 1 WHERE domain = 'bolt.example'", "ledger of bolt.example"),
        (
            "UPDATE content SET packed = 1, data = x'28b52ffd00' WHERE id = 65536",
            "content of message 1 can't be read, piece 0",
        ),
    ],
    ids=["sums", "content"],
)
def test_what_is_wrong_is_said_with_what_to_do(relayctl: Relayctl, mail: Mail, damage: str, said: str) -> None:
    """For a person and for a script alike, and of a backup as of the database."""
    alter(relayctl, damage)
    answer = relayctl("db", "check")
    assert answer.status == 1
    assert said in answer.out
    assert "deploy/runbook.md" in answer.out
    target = relayctl.folder / "saved.tar"
    assert relayctl("db", "backup", target).status == 1
    for command in (["db", "check", "--json"], ["db", "check", "--json", "--file", target]):
        answer = relayctl(*command)
        assert answer.status == 1
        assert '"ok": false' in answer.out
        assert said in answer.out


def test_a_report_that_can_not_be_read_is_found(relayctl: Relayctl, mail: Mail) -> None:
    """Its sender would never hear of it."""
    alter(
        relayctl,
        "INSERT INTO reports VALUES (7, 1, 1, 'a@b.example', 'b.example', 'failed', '[\"c\"]', 0, 0, 0, '', 1, x'00')",
    )
    assert "report 7 can't be read" in relayctl("db", "check").out


def test_damage_of_the_file_is_found_where_it_is(relayctl: Relayctl, mail: Mail) -> None:
    """A page that holds something else, as after a disk that failed."""
    path = relayctl.folder / "relay.db"
    with closing(sqlite3.connect(path)) as raw:
        (root,) = raw.execute("SELECT rootpage FROM sqlite_master WHERE name = 'recipients_hot'").fetchone()
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.seek((root - 1) * PAGE)
        file.write(os.urandom(PAGE))
    answer = relayctl("db", "check")
    assert answer.status == 1
    assert "recipients" in answer.out or "malformed" in answer.out


def test_a_sound_backup_says_what_it_holds(relayctl: Relayctl, mail: Mail) -> None:
    """How old it is, of which version, and how much mail."""
    target = relayctl.folder / "saved.tar"
    relayctl.does("db", "backup", target)
    told = relayctl.does("db", "check", "--file", target)
    assert "ago) by n1, version" in told
    assert "7 messages, 8 recipients queued, 1 held" in told
    assert "the database is sound" in told
    facts = relayctl.json("db", "check", "--file", target)
    assert (facts["ok"], facts["backup"]["counts"]["messages"]) == (True, 7)


def test_a_backup_that_is_not_there_is_one_line(relayctl: Relayctl, tmp_path: Path) -> None:
    """As everywhere."""
    assert relayctl.refuses("db", "check", "--file", tmp_path / "none.tar").endswith("No such file or directory")
    assert relayctl.refuses("db", "restore", tmp_path / "none.tar").endswith("No such file or directory")
