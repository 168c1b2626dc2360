"""The power is cut while twenty connections bring mail: what wasn't synced is gone, what got 250 is there.

An ext4 image on a loop mount is shut down without flushing its journal, and mounted again: what the kernel hadn't
written is lost, as behind a pulled plug. (Torn sectors, and drives that lie about their cache, are not part of it.) The
node is frozen before, and killed after: nobody speaks once the power is gone, and an fsync that is under way when ext4
is shut down may well say that it has succeeded. The control is a node that commits without waiting for the disk: it
has to lose mail, or this proves nothing. About a file, so for SQLite alone; root only.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import Any

from tests.faults.broken import program
from tests.faults.clients import Crowd
from tests.faults.engines import SQLITE, Engine
from tests.faults.result import Fault, Result
from tests.faults.site import Site, site
from tests.support.disk import Disk, failing_disk

BETWEEN = (50, 600)
MEGABYTES = 512


async def power_cut(engine: Engine, runs: int, folder: Path) -> Result:
    """Cut and restore the power so many times; then see the control lose."""
    control = await _cut(engine, 1, folder / "control", program=program("careless"))
    result = await _cut(engine, runs, folder / "sound")
    lost = () if control.lost else ("the control with synchronous=NORMAL has lost nothing",)
    return result.with_wrong(lost)


async def _cut(engine: Engine, runs: int, folder: Path, **node: Any) -> Result:
    folder.mkdir(parents=True)
    with failing_disk(folder / "disk", megabytes=MEGABYTES) as disk:
        async with site(folder, engine, data=disk.path, **node) as place:
            place.node.start()
            await place.node.ready()
            os.sync()  # the control may lose its mail, not the file that it is kept in
            wrong, recoveries = [], []
            async with place.clients() as clients:
                for _ in range(runs):
                    recoveries.append(await _cut_once(place, clients, disk, wrong))
            return await place.reckoning(runs, [clients], recoveries, wrong=wrong)


async def _cut_once(place: Site, clients: Crowd, disk: Disk, wrong: list[str]) -> float:
    """Seconds from the return of the power to the first letter that is accepted."""
    await clients.until_accepted(random.randint(*BETWEEN))
    await place.node.freeze()
    disk.fail()
    await place.node.kill()
    disk.remount()
    wrong += (await place.ask("db", "check"))["faults"]
    again = time.monotonic()
    back = clients.next_accepted()
    place.node.start()
    return await place.recovered(back, again)


POWER_CUT = Fault("power", "power cut under 20 connections (ext4)", 30, power_cut, engines=("sqlite",))


async def test_a_power_cut_loses_nothing(tmp_path: Path) -> None:
    """Every letter that was answered 250 goes home; a node that doesn't wait for the disk loses some."""
    result = await power_cut(SQLITE, 2, tmp_path)
    assert not result.broken
