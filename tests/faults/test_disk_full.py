"""The disk fills up while twenty connections bring mail: by the mail itself, or by something else to the last octet.

Clients are told 452 or 451 and nothing else, the node goes on running, and takes mail again within 10 s of there
being room. On tmpfs and on ext4. About a file, so for SQLite alone; root only.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from operator import add
from pathlib import Path

from tests.faults.clients import Crowd
from tests.faults.engines import SQLITE, Engine
from tests.faults.letters import Letters
from tests.faults.result import Fault, Result
from tests.faults.site import PATIENCE, site
from tests.support.disk import failing_disk, memory_disk

MEGABYTES = 96
BALLAST = 24
"""Megabytes that are there from the start where mail fills the disk, and whose removal makes room."""
LARGE = Letters(lines=600)
HELD = 3.0
"""Seconds for which it stays full."""
KINDS = (("tmpfs", "mail"), ("ext4", "others"), ("ext4", "mail"), ("tmpfs", "others"))


async def disk_full(engine: Engine, runs: int, folder: Path) -> Result:
    """Fill so many disks, each kind by turns, each by mail and by others by turns."""
    kinds = itertools.islice(itertools.cycle(KINDS), runs)
    return reduce(add, [await _fill(engine, folder / str(run), *kind) for run, kind in enumerate(kinds)])


async def _fill(engine: Engine, folder: Path, kind: str, by: str) -> Result:
    folder.mkdir(parents=True)
    with _disk(kind, folder / "disk") as disk:
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(BALLAST * 1024**2 if by == "mail" else 0))
        async with site(folder, engine, data=disk, letters=LARGE) as place:
            place.node.start()
            await place.node.ready()
            async with place.clients() as clients:
                if by == "others":
                    await clients.until_accepted(50)
                    await asyncio.to_thread(_fill_up, ballast)
                await _until_refused(clients)
                await asyncio.sleep(HELD)
                ballast.unlink()
                room = time.monotonic()
                back = await place.recovered(clients.next_accepted(), room)
            wrong = [f"{kind}, {by}: {count} × {code}" for code, count in clients.replies.items() if code not in FULL]
            wrong += [f"{kind}, {by}: {count} × cut off at {where}" for where, count in clients.cuts.items()]
            return await place.reckoning(1, [clients], [back], wrong=wrong)


FULL = (452, 451)


async def _until_refused(clients: Crowd) -> None:
    async with asyncio.timeout(PATIENCE):
        while not any(clients.replies[code] for code in FULL):
            await asyncio.sleep(0.05)


def _fill_up(path: Path) -> None:
    """Until not an octet is left, and again for what others have given back meanwhile."""
    with path.open("ab", buffering=0) as file:
        for size in (1_000_000, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue


@contextmanager
def _disk(kind: str, path: Path) -> Iterator[Path]:
    with (failing_disk if kind == "ext4" else memory_disk)(path, megabytes=MEGABYTES):
        yield path


DISK_FULL = Fault(
    "disk", "disk full under 20 connections (tmpfs, ext4)", 8, disk_full, within=10.0, engines=("sqlite",)
)


async def test_a_full_disk_is_temporary(tmp_path: Path) -> None:
    """Clients hear 452 or 451 until there is room, and nothing that got 250 is lost."""
    result = await disk_full(SQLITE, 2, tmp_path)
    assert not result.broken
