"""The place of a fault: a node, the customer's primary, what the clients wrote down; and the reckoning at the end.

    async with site(folder, engine) as place:
        place.node.start()
        async with place.clients() as clients:
            ...
        return await place.reckoning(runs, [clients], recoveries)

The reckoning brings the primary back, waits until everything has gone home, and compares: every letter in the clients'
ledger has to be at the primary as it was sent, and the relay's own books have to balance.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from tests.faults.clients import CONNECTIONS, Crowd, crowd
from tests.faults.engines import Engine
from tests.faults.ledger import Ledger
from tests.faults.letters import DOMAIN, Letters, number_of
from tests.faults.node import Node
from tests.faults.primary import Primary
from tests.faults.result import Result
from tests.support.desk import Desk
from tests.support.waiting import eventually

FATES = ("delivered", "bounced", "expired", "dropped", "queued", "held")
PATIENCE = 90.0
"""Seconds after which nobody waits for the relay any more."""
STANDSTILL = 60.0
"""Seconds in which something has to come home, or nothing more is waited for."""


class Site:
    """See above. ``node``: the one that is talked to first."""

    def __init__(self, folder: Path, engine: Engine, database: str, node: Node, primary: Primary) -> None:
        self.engine = engine
        self.database = database
        self.node = node
        self.nodes = [node]
        self.primary = primary
        self.ledger = Ledger(folder / "ledger")
        self._began = time.monotonic()
        self._sent = 0

    def add(self, node: Node) -> Node:
        """Another one on the same database; clients that come from now on know it too."""
        self.nodes.append(node)
        return node

    async def ask(self, *argv: str) -> Any:
        """What ``relayctl --json`` prints; the database is let go of afterwards, so that its disk can be, too."""
        desk = Desk(self.node.relay.config)
        try:
            return await desk.relayctl(*argv)
        finally:
            desk.close()

    async def domain(self) -> dict[str, Any]:
        """The status of the domain."""
        status: dict[str, Any] = (await self.ask("status", DOMAIN))["domains"][0]
        return status

    async def until(self, *, timeout: float = 60.0, **wanted: Any) -> None:
        """Wait until the status has these values."""
        status: dict[str, Any] = {}

        async def as_wanted() -> bool:
            status.update(await self.domain())
            return all(status[key] == value for key, value in wanted.items())

        try:
            await eventually(as_wanted, timeout=timeout, every=0.1)
        except AssertionError:
            raise AssertionError(f"{DOMAIN} is not {wanted}: {status}\n{self.node.log()}") from None

    def clients(
        self, *, connections: int = CONNECTIONS, rate: float | None = None, at: Sequence[Node] = ()
    ) -> AbstractAsyncContextManager[Crowd]:
        """A crowd at the nodes, or ``at`` some of them; none sends a number that another one has sent."""
        self._sent += 100_000_000
        return crowd(
            [node.address for node in at or self.nodes],
            self.ledger,
            self.primary.letters,
            connections=connections,
            rate=rate,
            first=self._sent,
        )

    async def queued(self) -> set[int]:
        """The numbers of the letters that wait."""
        rows = await self.ask("queue", "list", "--limit", "100000")
        return {number for row in rows for one in row["recipients"] if (number := number_of(one)) is not None}

    async def recovered(self, back: asyncio.Future[float], since: float) -> float:
        """Wait for what ``clients.next_accepted()`` gave; the seconds from ``since`` to it."""
        await asyncio.wait({back}, timeout=PATIENCE)
        assert back.done(), f"no letter has been accepted for {PATIENCE:.0f} s:\n{self.node.log()}"
        return back.result() - since

    async def come_home(self) -> None:
        """Bring the primary back and wait until nothing is queued any more, or nothing more comes."""
        self.primary.pace = 0.0
        await self.primary.start()
        seen, since = -1, time.monotonic()
        while (await self.ask("ledger", DOMAIN))["queued"]:
            if (count := self.primary.received.total()) != seen:
                seen, since = count, time.monotonic()
            if time.monotonic() - since > STANDSTILL:
                return
            await asyncio.sleep(0.2)

    async def reckoning(
        self,
        runs: int,
        crowds: Sequence[Crowd],
        recoveries: Sequence[float] = (),
        *,
        in_flight: Mapping[int, int] = {},
        unsure: bool = False,
        wrong: Sequence[str] = (),
    ) -> Result:
        """``in_flight``: letters that were on their way to the primary when a node was ended, and how often, besides
        those that clients had no answer to. ``unsure``: a 4xx to the end of data may have been said of a letter that
        is stored, for the database went away in the middle of its commit."""
        await self.come_home()
        accepted, received = self.ledger.read(), self.primary.received
        unanswered = sum((clients.in_flight for clients in crowds), Counter[int]())
        if unsure:
            unanswered = sum((clients.put_off for clients in crowds), unanswered)
        found = list(wrong)
        doubtful = unanswered + Counter(in_flight)
        if others := [number for number, times in received.items() if times > 1 + doubtful[number]]:
            found.append(f"{len(others)} letters came more often than they were in flight")
        if strangers := received.keys() - accepted - unanswered.keys():
            found.append(f"{len(strangers)} letters came that nobody was answered 250 to")
        if self.primary.changed:
            found.append(f"{len(self.primary.changed)} letters came otherwise than they were sent")
        found += await self._books(len(received.keys() | accepted))
        strange = sum((clients.strange for clients in crowds), Counter[str]())
        return Result(
            self.engine.name,
            runs,
            len(accepted),
            len(accepted - received.keys()),
            self.primary.doubled,
            doubtful.total(),
            dict(strange),
            tuple(recoveries),
            tuple(found),
            seconds=time.monotonic() - self._began,
            log="\n".join((*(node.log() for node in self.nodes), *map(str, crowds))),
        )

    async def _books(self, letters: int) -> list[str]:
        """What is wrong with the relay's own account."""
        found = [str(fault) for fault in (await self.ask("db", "check"))["faults"]]
        row = await self.ask("ledger", DOMAIN)
        if row["accepted"] != sum(row[fate] for fate in FATES):
            found.append(f"the ledger doesn't balance: {row}")
        if others := {fate: row[fate] for fate in FATES if fate != "delivered" and row[fate]}:
            found.append(f"not handed back: {others}")
        if row["delivered"] < letters:
            found.append(f"the ledger knows {row['delivered']} of {letters} letters")
        return found


@asynccontextmanager
async def site(
    folder: Path,
    engine: Engine,
    *,
    data: Path | None = None,
    letters: Letters | None = None,
    settings: Mapping[str, Mapping[str, Any]] = {},
    primary: tuple[str, int] = ("127.0.0.1", 0),
    known_as: str = "",
    options: Sequence[str] = ("--business-hours", "none", "--skip-proof", "dns"),
    **node: Any,
) -> AsyncIterator[Site]:
    """A node that isn't started yet, and the domain's primary, which is down.

    ``data``: where the database lies, if not in ``folder``. ``primary``: where that one listens; ``known_as``: how it
    is named to ``relayctl domain add`` instead, whose other ``options`` follow. ``node``: of :class:`Node`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    home = Primary(letters or Letters(), *primary)
    with engine.database(data or folder) as url:
        place = Site(folder, engine, url, Node(folder, url, settings=settings, **node), home)
        try:
            await place.ask("domain", "add", DOMAIN, "--primary", known_as or home.address, *options)
            yield place
        finally:
            for one in place.nodes:
                await one.kill()
            await home.close()
            await place.ledger.close()
