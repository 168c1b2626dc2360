"""The node that owns the appliance is cut off by its network, past its lease, in the middle of a drain.

The nodes, the database, and clients with the primary are hosts of a network of their own. By turns the owner loses the
database alone, with clients and the primary still in reach, or the whole network; packets vanish, and nobody is told.
Promised: the other node owns the appliance within 20 s; the one that was cut off begins nothing past its lease, answers
451 to whoever still reaches it, and takes mail again seconds after it is back; only what it had on its way to the
primary may come twice. In flight is what the database still had in its queue after the cut, of that which the node
brings on connections from before its return: their last octets may be there long after it. Root only.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from tests.faults.clients import Crowd
from tests.faults.engines import DISK, POSTGRESQL, Engine
from tests.faults.letters import SENDER
from tests.faults.node import Node
from tests.faults.result import Fault, Result
from tests.faults.site import PATIENCE, Site, site
from tests.faults.wire import Cut, connect
from tests.support.netns import Host, network, parted, unplugged
from tests.support.postgres import server
from tests.support.waiting import eventually

ADDRESSES = {"world": "192.0.2.1", "one": "192.0.2.11", "two": "192.0.2.12", "database": "192.0.2.20"}
RATE = 60.0
PACE = 0.3
"""Seconds that the primary takes for a letter: there is a backlog, and always something on its way."""
LEASE = 7.5
"""Seconds after the cut in which the owner may begin something: its lease, less the margin (relay.cluster.lease)."""
LONGER = (0.0, 5.0)
"""Seconds for which it stays cut off once the other one owns the appliance."""
IN_SERVICE = 10.0
"""Seconds after its return in which a node has to take mail."""
LOSSES = ("database", "everything")


async def cut_off(engine: Engine, runs: int, folder: Path) -> Result:
    """Cut the owner off so many times, from the database and from everything by turns."""
    # In this thread, for all of it: clients, primary and operator are the world.
    with (
        network(ADDRESSES, resolver=ADDRESSES["world"]) as hosts,
        hosts["world"].inside(),
        server(parent=DISK, host=hosts["database"]) as cluster,
    ):
        url = cluster.fresh()
        own = Engine(engine.name, engine.title, lambda _: nullcontext(url))
        async with site(folder, own, primary=(ADDRESSES["world"], 0), name="one", host=hosts["one"]) as place:
            place.add(Node(folder / "two", url, name="two", host=hosts["two"]))
            return await _cut_off(place, hosts, runs)


async def _cut_off(place: Site, hosts: dict[str, Host], runs: int) -> Result:
    place.primary.pace = PACE
    await place.primary.start()
    for node in place.nodes:
        node.start()
        await node.ready()
    await place.until(health="up")
    taken, wrong, cuts, crowds = list[float](), list[str](), list[_Cut](), list[Crowd]()
    async with place.clients(rate=RATE) as clients:
        for loss in itertools.islice(itertools.cycle(LOSSES), runs):
            await clients.until_accepted(random.randint(20, 100))
            cut = _Cut(place, hosts, loss)
            taken.append(await cut.suffer())
            crowds.append(await cut.come_back())
            cuts.append(cut)
            wrong += [f"{loss}: {what}" for what in cut.wrong]
    crowds.append(clients)
    await place.come_home()
    in_flight = Counter(number for cut in cuts for number in cut.in_flight)
    return await place.reckoning(runs, crowds, taken, in_flight=in_flight, unsure=True, wrong=wrong)


class _Cut:
    """One of them."""

    def __init__(self, place: Site, hosts: dict[str, Host], loss: str) -> None:
        self.wrong: list[str] = []
        self._place = place
        self._hosts = hosts
        self._loss = loss
        self._node: Node
        self._queued: set[int] = set()
        self._began = self._back = 0.0

    @property
    def in_flight(self) -> set[int]:
        """What the node had on its way when it was cut off; known once everything has come home."""
        brought = self._place.primary.brought[self._node.address[0]]
        return self._queued & {number for number, opened in brought if opened < self._back}

    async def suffer(self) -> float:
        """Seconds from the cut until another node owns the appliance."""
        place = self._place
        owner = (await place.domain())["owner"]
        self._node, other = sorted(place.nodes, key=lambda node: node.name != owner)
        with self._without(self._hosts[self._node.name]):
            self._began = time.monotonic()
            self._queued = await place.queued()
            await place.until(owner=other.name, timeout=PATIENCE)
            taken = time.monotonic() - self._began
            if self._loss == "database":
                await eventually(self._puts_off, timeout=PATIENCE, every=0.2)
            await asyncio.sleep(random.uniform(*LONGER))
            self._back = time.monotonic()
        return taken

    async def come_back(self) -> Crowd:
        """Mail is taken there again; whoever brought it."""
        async with self._place.clients(at=[self._node], connections=1) as alone:
            again = await self._place.recovered(alone.next_accepted(), self._back)
        late = self._place.primary.begun.get(self._node.address[0], self._began) - self._began
        if self._loss == "database" and late > LEASE:  # of the other one nobody can tell when it was sent
            self.wrong.append(f"it began something {late:.1f} s after the cut")
        if again > IN_SERVICE:
            self.wrong.append(f"it took mail {again:.1f} s after its return")
        return alone

    @contextmanager
    def _without(self, host: Host) -> Iterator[None]:
        with parted(host, self._hosts["database"]) if self._loss == "database" else unplugged(host):
            yield

    async def _puts_off(self) -> bool:
        """Whether MAIL gets 451 there."""
        wire = await connect(self._node.address)
        try:
            await wire.reply()
            wire.send(b"EHLO mail.world.example\r\n")
            await wire.reply()
            wire.send(b"MAIL FROM:<%s>\r\n" % SENDER.encode())
            return await wire.reply() == 451
        except Cut:
            return False
        finally:
            wire.close()


CUT_OFF = Fault(
    "cut",
    "the owner cut off by its network past its lease, two nodes, draining",
    20,
    cut_off,
    within=20.0,
    recovery="the other node owns",
    engines=("postgresql",),
)


async def test_a_node_that_is_cut_off_is_replaced(tmp_path: Path) -> None:
    """The other one takes over, what was in flight alone comes twice, and both are in service afterwards."""
    result = await cut_off(POSTGRESQL, 1, tmp_path)
    assert not result.broken
