"""Mail written to files: whole or not at all, never over what is there, and with its envelope."""

from __future__ import annotations

import asyncio
import contextlib
import json
import mailbox
import random
import subprocess
from pathlib import Path

import pytest

from relay.clock import Clock
from tests.integration.cli.conftest import CONTENT, Mail
from tests.integration.cli.console import Relayctl
from tests.integration.queue.material import RECEIVED, house
from tests.support.disk import failing_disk
from tests.support.memory import peak


def _files(folder: Path, suffix: str = ".eml") -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix == suffix)


def test_each_message_gets_a_file_that_sorts_by_receipt(relayctl: Relayctl, mail: Mail, tmp_path: Path) -> None:
    """Byte for byte as it would be sent, for its owner alone, its envelope beside it; all stay in the queue."""
    folder = tmp_path / "out"
    said = relayctl.does("queue", "export", "--to", folder)
    assert said == f"7 messages written to {folder}\n"
    files = _files(folder)
    assert [int(path.stem.partition("-")[2]) for path in files] == sorted(
        (mail.old, mail.plain, mail.null, mail.many, mail.deferred, mail.failed, mail.bolt)
    )
    plain = next(path for path in files if path.stem.endswith(f"-{mail.plain:012}"))
    assert plain.read_bytes() == RECEIVED + CONTENT
    assert {path.stat().st_mode & 0o077 for path in (folder, *folder.iterdir())} == {0}
    assert len(list(folder.iterdir())) == 14
    failed = json.loads(next(path for path in _files(folder, ".json") if f"{mail.failed:012}" in path.stem).read_text())
    assert failed["sender"] == "ann@elsewhere.example"
    assert [(one["address"], one["state"], one["reason"], one["last_reply"]) for one in failed["recipients"]] == [
        ("nobody@acme.example", "held", "failed", "550 5.1.1 no such user")
    ]
    assert (failed["ret"], failed["envid"], failed["client"]["ip"]) == ("HDRS", "QQ314159", "192.0.2.7")
    assert len(relayctl.json("queue", "list")) == 8


def test_an_export_goes_on_where_it_stopped(relayctl: Relayctl, mail: Mail, tmp_path: Path) -> None:
    """What is there stays as it is, whoever wrote it; a lonely envelope is no message."""
    folder = tmp_path / "out"
    relayctl.does("queue", "export", "--domain", "bolt.example", "--to", folder)
    (there,) = _files(folder)
    there.write_bytes(b"mine")
    relayctl.does("queue", "export", "--id", mail.plain, "--to", folder)
    plain = next(path for path in _files(folder) if f"{mail.plain:012}" in path.stem)
    plain.unlink()
    assert relayctl.json("queue", "export", "--to", folder) == {"messages": 6, "there": 1, "dry_run": False}
    assert there.read_bytes() == b"mine"
    assert plain.read_bytes() == RECEIVED + CONTENT
    assert (
        relayctl.does("queue", "export", "--to", folder)
        == f"0 messages written to {folder}; 7 messages there already\n"
    )


def test_a_mailbox_is_read_by_those_who_read_mail(relayctl: Relayctl, mail: Mail, tmp_path: Path) -> None:
    """Python's mailbox finds each message, with its envelope above it, and the same content below."""
    path = tmp_path / "all.mbox"
    assert relayctl.does("queue", "export", "--mbox", path) == f"7 messages written to {path}\n"
    assert path.stat().st_mode & 0o077 == 0
    with contextlib.closing(mailbox.mbox(path, create=False)) as box:
        found = list(box)
    assert len(found) == 7
    many = next(one for one in found if len(one.get_all("X-Envelope-To")) == 3)
    assert many["Return-Path"] == "<ann@elsewhere.example>"
    assert many.get_from().startswith("ann@elsewhere.example ")
    assert sum(one["Return-Path"] == "<>" and one.get_from().startswith("MAILER-DAEMON ") for one in found) == 1
    assert (RECEIVED + CONTENT).replace(b"\r\n", b"\n") + b"\n" in path.read_bytes()
    line = relayctl.refuses("queue", "export", "--mbox", path)
    assert line == f"{path} is there already; nothing is overwritten"
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith(".export-")] == []


def test_it_is_said_before_it_is_done(relayctl: Relayctl, mail: Mail, tmp_path: Path) -> None:
    """--dry-run writes nothing; two places are one too many."""
    folder = tmp_path / "out"
    said = relayctl.does("queue", "export", "--domain", "acme.example", "--to", folder, "--dry-run")
    assert said == "5 messages would be written\n"
    assert not folder.exists()
    assert "say --to or --mbox" in relayctl.misused("queue", "export", "--to", folder, "--mbox", tmp_path / "x")
    assert relayctl.refuses("queue", "export").startswith("several messages match")
    assert relayctl.refuses("queue", "export", "--json").startswith("a message may hold anything")
    assert "not a directory" in relayctl.refuses("queue", "export", "--to", relayctl.config / "x")


def test_a_full_disk_leaves_only_whole_files(relayctl: Relayctl, tmp_path: Path) -> None:
    """One line says so; what is written is whole, the rest comes with the next export."""
    content = random.Random(2).randbytes(3_000_000).replace(b"\r", b"x").replace(b"\n", b"x") + b"\r\n"

    async def fill() -> None:
        async with house(relayctl.folder, Clock()) as home:
            for _ in range(6):
                await home.accept(content=content)

    asyncio.run(fill())
    with failing_disk(tmp_path / "disk", megabytes=16) as disk:
        line = relayctl.refuses("queue", "export", "--to", disk.path / "out")
        assert "no space left on device" in line
        files = _files(disk.path / "out")
        assert 0 < len(files) < 6
        assert f"{len(files)} written before it are whole" in line
        assert all(path.read_bytes() == RECEIVED + content for path in files)
        assert [path.name for path in (disk.path / "out").iterdir() if path.name.startswith(".")] == []
        line = relayctl.refuses("queue", "export", "--mbox", disk.path / "all.mbox")
        assert line.endswith("no space left on device; nothing is written")
        assert not (disk.path / "all.mbox").exists()


@pytest.mark.parametrize("how", ["--to", "--mbox"])
def test_a_large_message_is_never_whole_in_memory(relayctl: Relayctl, tmp_path: Path, how: str) -> None:
    """50 MB go to the disk a piece at a time."""
    line = random.Random(3).randbytes(57).hex().encode() + b"\r\n"
    content = line * (50_000_000 // len(line))

    async def fill() -> None:
        async with house(relayctl.folder, Clock()) as home:
            await home.accept(content=content)

    asyncio.run(fill())
    process = subprocess.Popen(relayctl.argv("queue", "export", how, tmp_path / "out"), stdout=subprocess.DEVNULL)
    most = 0
    while process.poll() is None:
        try:
            most = max(most, peak(process.pid))
        except (OSError, ValueError):
            break  # it has ended
    assert process.wait(60) == 0
    assert 0 < most < 100_000_000
    written = tmp_path / "out" if how == "--mbox" else _files(tmp_path / "out")[0]
    assert written.stat().st_size > 40_000_000
