"""A watcher at work for the tests of this folder: real database, node, sockets; quicker than usual."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from relay.appliances import facts, store
from relay.appliances.directory import Directory
from relay.appliances.evidence import Evidence
from relay.appliances.facts import Health, HealthFact
from relay.appliances.model import Appliance, Primary
from relay.appliances.mx import Endpoints
from relay.appliances.pulse import Pulse, Reach
from relay.clock import Clock
from relay.cluster.node import Node
from relay.cluster.observer import Timing
from relay.cluster.wake import Wake
from relay.dns import Resolver
from relay.settings import Dns, Watch
from relay.settings import Node as NodeSettings
from relay.watch.watcher import Watcher
from tests.support.database import make_database
from tests.support.primary import ScriptedPrimary
from tests.support.waiting import eventually

TIMING = Timing()
QUICK = Watch(interval=0.4, down_interval=0.1, connect_timeout=5.0, reply_timeout=5.0)
PATIENT = Watch(interval=1000.0, down_interval=0.1, connect_timeout=5.0, reply_timeout=5.0)
"""Probes nobody twice, unless something calls for it."""


class Watching:
    """The parts of a node that watch, and what they made of it."""

    def __init__(self, folder: Path, settings: Watch, resolver: str, name: str, timing: Timing) -> None:
        self.ahead = 0.0
        """Seconds that this node's clock is ahead of the machine's."""
        self.clock = Clock(lambda: time.time() + self.ahead, lambda: time.monotonic() + self.ahead)
        self.db = make_database(folder)
        self.directory = Directory(self.db)
        self.pulse = Pulse()
        self.evidence = Evidence()
        node_settings = NodeSettings(name=name, hostname="relay.test", mx_names=["relay.test"])
        self.node = Node(self.db, self.clock, node_settings, [], "1.0", self.directory, timing=timing, pulse=self.pulse)
        endpoints = Endpoints(Resolver(Dns(resolvers=[resolver], timeout=1.0)), node_settings)
        self.wake = Wake(self.db, self.directory, self.node.owns)
        self.watcher = Watcher(
            settings,
            self.directory,
            self.db,
            self.pulse,
            self.evidence,
            endpoints,
            self.clock,
            self.node,
            "relay.test",
            self.wake,
        )

    async def add(self, name: str, *primaries: ScriptedPrimary | str, domain: str = "") -> Appliance:
        """An appliance with these primaries, owned by this node."""
        with self.db.write() as connection:
            appliance = store.add_appliance(
                connection, self.clock.now(), name=name, primaries=tuple(map(_primary, primaries))
            )
            if domain:
                store.add_domain(connection, self.clock.now(), name=domain, appliance_id=appliance.id)
        await self.directory.refresh()
        await eventually(lambda: self.node.owns(appliance.id))
        return appliance

    def health(self, appliance: Appliance) -> HealthFact:
        """As everybody sees it."""
        return self.directory.health(appliance.id)

    def written(self, appliance: Appliance) -> HealthFact:
        """As it is in the database."""
        with self.db.read() as connection:
            return facts.all_health(connection)[appliance.id]

    async def becomes(self, state: Health, *appliances: Appliance) -> None:
        for appliance in appliances:
            await eventually(lambda appliance=appliance: self.health(appliance).state is state)  # type: ignore[misc]

    async def reaches(self, reach: Reach, appliance: Appliance) -> None:
        await eventually(lambda: self.pulse.reach(appliance.id) is reach)


@asynccontextmanager
async def watching(
    folder: Path,
    settings: Watch = QUICK,
    *,
    resolver: str = "127.0.0.1:9",
    name: str = "one",
    timing: Timing = TIMING,
) -> AsyncIterator[Watching]:
    """Watching until the end of the block; several of different names on one folder are a cluster."""
    found = Watching(folder, settings, resolver, name, timing)
    async with AsyncExitStack() as stack:
        stack.callback(found.db.close)
        stack.push_async_callback(found.node.close)
        await found.node.start()
        parts = found.node.run(), found.wake.run(), found.watcher.run()
        tasks = [asyncio.create_task(part) for part in parts]
        stack.push_async_callback(_end, tasks)
        yield found


@asynccontextmanager
async def primaries(count: int) -> AsyncIterator[list[ScriptedPrimary]]:
    """So many primaries that answer."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(ScriptedPrimary()) for _ in range(count)]


def answered(primary: ScriptedPrimary) -> bool:
    """Whether it was probed at least once, to the end."""
    return "QUIT" in primary.commands


async def _end(tasks: Iterable[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _primary(primary: ScriptedPrimary | str) -> Primary:
    return Primary.parse(primary if isinstance(primary, str) else primary.address)
