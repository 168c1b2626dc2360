"""relayctl db backup: a file that is whole or not there, and harms nobody."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.backup.record import last_sound
from relay.clock import Clock
from tests.integration.backup.conftest import Mail, left_behind
from tests.integration.cli.console import Relayctl
from tests.integration.queue.material import house
from tests.support.processes import need_root
from tests.support.waiting import wait_until

pytestmark = pytest.mark.sqlite_only("how a file is saved and restored; test_postgres has a server's")

NIGHT = ("20261120T030000Z", "20261121T030000Z", "20261122T030000Z")


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 kB: there is room for half of a copy."""
    place = tmp_path / "tiny"
    place.mkdir()
    need_root()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", place], capture_output=True, check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def fill(relayctl: Relayctl, messages: int, size: int) -> None:
    """Mail that waits, and doesn't pack."""

    async def accept() -> None:
        async with house(relayctl.folder, Clock()) as home:
            for _ in range(messages // 50):
                await asyncio.gather(*(home.accept(content=os.urandom(size)) for _ in range(50)))

    asyncio.run(accept())


def earlier(relayctl: Relayctl) -> bytes:
    """A backup of before, packed."""
    saved = relayctl.folder / "earlier.tar.zst"
    relayctl.does("db", "backup", saved, "--zstd")
    return saved.read_bytes()


@pytest.mark.parametrize("packed", [[], ["--zstd"]], ids=["plain", "zstd"])
def test_a_backup_is_a_tar_that_says_what_it_is_and_checks_itself(
    relayctl: Relayctl, mail: Mail, packed: list[str]
) -> None:
    """Nobody but its owner may read it, and the program that reads it needn't be ours."""
    target = relayctl.folder / "saved.tar"
    told = relayctl.json("db", "backup", target, *packed)
    assert target.stat().st_mode & 0o777 == 0o600
    assert left_behind(relayctl.folder) == []
    command = ["tar", "--zstd", "-xf"] if packed else ["tar", "-xf"]
    folder = relayctl.folder / "opened"
    folder.mkdir()
    subprocess.run([*command, target, "-C", folder], check=True)
    subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=folder, check=True)
    about = json.loads((folder / "manifest.json").read_text())
    assert about["counts"] == told["counts"]
    assert {key: about["counts"][key] for key in ("messages", "queued", "held")} == {
        "messages": 7,
        "queued": 8,
        "held": 1,
    }
    assert (about["checked"], about["faults"], about["engine"]) == (True, [], "sqlite")


def test_a_backup_is_noted_in_the_database(relayctl: Relayctl, mail: Mail) -> None:
    """With its moment, its size and where it is."""
    told = relayctl.json("db", "backup", relayctl.folder / "saved.tar")
    db = relayctl.database()
    with db.read() as connection:
        noted = last_sound(connection)
    db.close()
    assert noted is not None
    assert (noted.place, noted.size) == (str(relayctl.folder / "saved.tar"), told["size"])
    assert (relayctl.folder / "saved.tar").stat().st_size == told["size"]


def test_a_folder_keeps_the_newest_of_this_node(relayctl: Relayctl) -> None:
    """Others' backups, and other files, are nobody's to remove."""
    folder = relayctl.folder / "saved"
    folder.mkdir()
    old = [f"relay-n1-{night}.tar" for night in NIGHT]
    others = [f"relay-n2-{NIGHT[0]}.tar", f"relay-n1-{NIGHT[0]}.tar.old", "relay-n1.tar"]
    for name in [*old, *others]:
        (folder / name).touch()
    told = relayctl.json("db", "backup", folder, "--keep", 2)
    assert [Path(path).name for path in told["removed"]] == old[:2]
    assert {path.name for path in folder.iterdir()} == {old[2], *others, Path(told["place"]).name}


def test_a_backup_goes_through_a_pipe(relayctl: Relayctl, mail: Mail) -> None:
    """Standard output has the backup alone; what is said goes to standard error."""
    piped = relayctl("db", "backup", "-", "--zstd")
    assert piped.status == 0
    assert piped.err.startswith("standard output: ")
    assert relayctl("db", "check", "--file", "-", stdin=piped.raw).status == 0
    assert "raw" in relayctl.refuses("db", "backup", "-", "--json")


def test_a_damaged_database_is_saved_with_a_warning_and_removes_no_older_one(relayctl: Relayctl, mail: Mail) -> None:
    """It may be the best there is; but it isn't taken for a good one."""
    folder = relayctl.folder / "saved"
    folder.mkdir()
    (folder / f"relay-n1-{NIGHT[0]}.tar").touch()
    db = relayctl.database()
    with db.write() as connection:
        connection.exec_driver_sql("UPDATE ledger SET accepted = accepted + 1 WHERE domain = 'bolt.example'")
    answer = relayctl("db", "backup", folder, "--keep", 1)
    assert answer.status == 1
    assert "1 fault found in it: ledger of bolt.example" in answer.err
    assert len(list(folder.iterdir())) == 2
    with db.read() as connection:
        assert last_sound(connection) is None
    db.close()


def test_only_a_backup_is_replaced_by_one(relayctl: Relayctl, mail: Mail, tmp_path: Path) -> None:
    """A mistyped name costs nothing: not the database itself, not a file of somebody else's, not a device."""
    letter, pipe = tmp_path / "letter.txt", tmp_path / "pipe"
    letter.write_text("Dear Ann")
    os.mkfifo(pipe)
    for place in (relayctl.folder / "relay.db", relayctl.config, letter, pipe):
        line = relayctl.refuses("db", "backup", place)
        assert line.startswith(f"{place} is there already, and no backup: nothing is overwritten")
    assert letter.read_text() == "Dear Ann"
    assert pipe.is_fifo()
    assert relayctl.json("db", "check")["ok"]
    empty = tmp_path / "made-by-mktemp"
    empty.touch()
    relayctl.does("db", "backup", empty)
    relayctl.does("db", "backup", empty)


def test_a_full_disk_leaves_no_half_file_and_the_old_backup(relayctl: Relayctl, mail: Mail, tiny_disk: Path) -> None:
    """One line says so, and the mail is where it was."""
    target = tiny_disk / "saved.tar"
    old = earlier(relayctl)
    target.write_bytes(old)
    assert "no room in" in relayctl.refuses("db", "backup", target)
    assert [path.name for path in tiny_disk.iterdir()] == ["saved.tar"]
    assert target.read_bytes() == old
    assert relayctl.json("db", "check")["ok"]


def test_room_that_mail_needs_is_left_to_it(relayctl: Relayctl) -> None:
    """A backup on the disk of the database ends before senders are put off for its sake."""
    free = os.statvfs(relayctl.folder)
    keep = free.f_bavail * free.f_frsize  # all that is free now
    line = relayctl.process("db", "backup", "saved.tar", env={"RELAY_LIMITS__MIN_DISK_FREE": str(keep)}).stderr
    assert "beside what mail needs on the same disk; write it to another one" in line
    assert left_behind(relayctl.folder) == []


def test_kill_9_leaves_the_old_backup_and_the_next_one_cleans_up(relayctl: Relayctl) -> None:
    """Whatever it had written by then."""
    fill(relayctl, 3000, 4000)
    folder = relayctl.folder / "saved"
    folder.mkdir()
    target = folder / "saved.tar"
    old = earlier(relayctl)
    target.write_bytes(old)
    with subprocess.Popen(relayctl.argv("db", "backup", target), stderr=subprocess.PIPE) as process:
        wait_until(lambda: any(folder.glob(".relay-backup-*/relay.db")), every=0.001)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert target.read_bytes() == old
    assert len(left_behind(folder)) == 1
    relayctl.does("db", "backup", target)
    assert left_behind(folder) == []
    with tarfile.open(target) as tar:
        assert tar.getnames() == ["manifest.json", "relay.db", "SHA256SUMS"]


def test_what_cannot_be_saved_is_one_line(relayctl: Relayctl, elsewhere: Relayctl) -> None:
    """No folder, no database, a number to keep of a single file."""
    assert "can't write in /nowhere" in relayctl.refuses("db", "backup", "/nowhere/saved.tar")
    assert "'relayctl init' makes one" in elsewhere.refuses("db", "backup", elsewhere.folder / "saved.tar")
    assert "--keep is for a folder" in relayctl.misused("db", "backup", "saved.tar", "--keep", 3)
