"""A disk that is really full."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from relay.errors import Deferred
from tests.integration.queue.material import RECEIVED, House, house, outcomes
from tests.support.processes import need_root
from tests.support.waiting import eventually


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 96 MB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", str(place)]
    need_root()
    subprocess.run(mount, capture_output=True, check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


async def _fill_with_mail(home: House) -> dict[int, bytes]:
    """Accept until mail is refused; what was accepted, by number."""
    stored = {}
    noise = random.Random(1)
    with pytest.raises(Deferred, match=r"452 4\.3\.1"):
        while True:
            content = noise.randbytes(500_000)
            (number,) = await home.accept(content=content)
            stored[number] = content
    return stored


def _leave(disk: Path, room: int) -> Path:
    """Fill the disk with something that isn't mail, but for so many bytes."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        while (free := os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize) > room:
            file.write(b"x" * min(free - room, 1_000_000))
    return filler


@pytest.mark.sqlite_only("a disk that its file fills")
async def test_a_full_disk_gives_452_and_can_still_be_drained(small_disk: Path) -> None:
    """Mail is taken until only the reserve is left; all of it is there, goes out, and then mail is taken again."""
    async with house(small_disk) as home:
        stored = await _fill_with_mail(home)
        assert len(stored) > 50
        with pytest.raises(Deferred, match=r"452 4\.3\.1"):
            await home.queue.upload().write(random.Random(2).randbytes(300_000))
        with pytest.raises(Deferred, match=r"452 4\.3\.1"):
            await home.queue.prove_write("acme.example", "nonce", random.Random(2).randbytes(500_000))
        for number, content in stored.items():
            assert await home.queue.content(number) == RECEIVED + content
        mail = await home.due()
        assert {message.id for message in mail} == set(stored)
        for message in mail:
            await home.queue.record(outcomes([message]))
        assert len(await _fill_with_mail(home)) > 50
        assert home.problems() == []


@pytest.mark.sqlite_only("a disk that its file fills")
async def test_what_an_operator_keeps_free_stays_free(small_disk: Path) -> None:
    """Mail is refused below that, and taken again where less is asked for; what is reserved anyway stays reserved."""
    async with house(small_disk) as home:
        await home.accept()
        free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
        home.queue.reconfigure(free - 4_000_000)
        assert home.queue.disk_free() <= 4_000_000
        assert 0 < len(await _fill_with_mail(home)) < 10
        upload = home.queue.upload()
        with pytest.raises(Deferred, match=r"452 4\.3\.1"):
            for _ in range(3):
                await upload.write(random.Random(2).randbytes(300_000))
        home.queue.reconfigure(free)
        await eventually(lambda: _refused(home.queue.check))
        home.queue.reconfigure(0)
        await eventually(lambda: not _refused(home.queue.check))
        await home.accept()
        home.queue.reconfigure(1)
        assert home.queue.disk_free() < free - 32 * 1024 * 1024
        assert home.problems() == []


@pytest.mark.sqlite_only("a disk that its file fills")
async def test_when_others_fill_the_disk_nothing_is_lost(small_disk: Path) -> None:
    """With not a byte left mail gets 452, and outcomes wait; both go on once there is room."""
    async with house(small_disk) as home:
        for _ in range(100):
            await home.accept(*(f"{'x' * 200}{n}@acme.example" for n in range(10)))
        mail = await home.due()
        filler = _leave(small_disk, 0)
        with pytest.raises(Deferred, match=r"452 4\.3\.1"):
            for _ in range(1000):
                await home.accept()
        await eventually(lambda: _refused(home.queue.check))
        recording = asyncio.create_task(home.queue.record(outcomes(mail)))
        await asyncio.sleep(0.5)
        filler.unlink()
        await recording
        await eventually(lambda: not _refused(home.queue.check))
        await home.accept()
        assert home.ledger().delivered == 1000
        assert home.problems() == []


def _refused(check: Callable[[], None]) -> bool:
    try:
        check()
    except Deferred as refusal:
        assert str(refusal).startswith("452 4.3.1")
        return True
    return False
