"""Nodes for the tests of this folder: real ones on one database file, with a lease that is quicker than usual."""

from __future__ import annotations

import asyncio
import atexit
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from relay.appliances import store
from relay.appliances.directory import Directory
from relay.clock import Clock
from relay.cluster.node import Node
from relay.cluster.observer import Timing
from relay.cluster.wake import Wake
from relay.db import Database
from relay.settings import Node as Settings

MACHINE = Path(tempfile.gettempdir()) / f"relay-nodes-{os.getpid()}"
"""What the nodes of this process keep on their machine; ``folder``: those of another one."""
atexit.register(shutil.rmtree, MACHINE, ignore_errors=True)

QUICK = Timing(renew=0.2, dead_after=2.0, margin=0.6)


class Running:
    """A node with its directory and its wakes, running."""

    def __init__(
        self, url: str, name: str, clock: Clock | None = None, timing: Timing = QUICK, folder: Path | None = None
    ) -> None:
        self.db = Database(url, folder=folder or MACHINE)
        self.directory = Directory(self.db)
        settings = Settings(name=name, hostname=f"{name}.test")
        self.node = Node(self.db, clock or Clock(), settings, ["127.0.0.1:25"], "1.0", self.directory, timing=timing)
        self.wake = Wake(self.db, self.directory, self.node.owns)
        self.busy: set[int] = set()
        """The appliances that something is under way for."""

    def owned(self, numbers: list[int]) -> set[int]:
        return {number for number in numbers if self.node.owns(number)}


@asynccontextmanager
async def running(
    url: str, name: str, clock: Clock | None = None, timing: Timing = QUICK, folder: Path | None = None
) -> AsyncIterator[Running]:
    """Started, and stopped cleanly at the end."""
    found = Running(url, name, clock, timing, folder)
    try:
        await found.node.start()
        tasks = [asyncio.create_task(found.node.run(found.busy.__contains__)), asyncio.create_task(found.wake.run())]
        try:
            yield found
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await found.node.close()
    finally:
        found.db.close()


def add_appliances(db: Database, count: int, first: int = 0) -> list[int]:
    """Their ids."""
    with db.write() as connection:
        return [
            store.add_appliance(connection, 1.0, name=f"appliance{number}").id for number in range(first, first + count)
        ]
