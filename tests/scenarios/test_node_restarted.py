"""A node that ends in the middle of an outage, by kill -9 or SIGTERM: the one that starts again goes on from there.

The node is a process of its own here, as in production, and its clock is the real one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any

from tests.scenarios.balance import Copy, at_home, balance, send
from tests.scenarios.stage import DOMAIN
from tests.support.desk import PATIENCE, Desk, Ticket
from tests.support.node import SHORT
from tests.support.primary import ScriptedPrimary
from tests.support.processes import free_port
from tests.support.relayctl import Relay
from tests.support.waiting import eventually

CONNECTIONS = 4


class Site:
    """A relay that can be killed and started again, and the customer's primary."""

    def __init__(self, folder: Path, primary: ScriptedPrimary, **settings: dict[str, Any]) -> None:
        self.primary = primary
        self.address = ("127.0.0.1", free_port())
        self.sent: list[Copy] = []
        self.perhaps: list[Copy] = []
        self._folder = folder
        listen = {"smtp": {"listen": [f"127.0.0.1:{self.address[1]}"]}}
        self._relay = Relay(folder, {**SHORT, **listen, **settings})
        self.desk = Desk(folder / "relay.toml")

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Popen[bytes]]:
        """A node that takes mail, in a process."""
        with ExitStack() as stack:
            try:
                yield await asyncio.to_thread(stack.enter_context, self._relay.serving())
            finally:
                await asyncio.to_thread(stack.close)

    async def send(self, first: int, count: int) -> None:
        """Letters over several connections at once, until they are sent or the node goes away."""
        await asyncio.gather(
            *(
                asyncio.to_thread(self._send, range(first + place, first + count, CONNECTIONS))
                for place in range(CONNECTIONS)
            )
        )

    def _send(self, numbers: range) -> None:
        letters = [(number, [f"user{number}@{DOMAIN}"]) for number in numbers]
        send(self.address, letters, self.sent, self.perhaps)

    async def until_over(self) -> Ticket:
        """Wait until everything is at the primary and the ticket is resolved."""
        await eventually(lambda: set(self.sent) <= at_home(self.primary).keys(), timeout=PATIENCE, every=0.2)
        ticket = await self.desk.until_resolved()
        await self.desk.until(DOMAIN, queued=0)
        return ticket

    async def balance(self, *, twice: Collection[Copy] = ()) -> None:
        await balance(self.desk.relayctl, self._folder, self.primary, self.sent, perhaps=self.perhaps, twice=twice)


@asynccontextmanager
async def site_with_outage(folder: Path, **settings: dict[str, Any]) -> AsyncIterator[tuple[Site, Popen[bytes]]]:
    """A site whose primary has just gone, and the process of its node, which has taken over."""
    async with ScriptedPrimary() as primary:
        site = await asyncio.to_thread(Site, folder, primary, **settings)
        try:
            # Nothing in the DNS names a relay on loopback.
            always_night = ("--business-hours", "none", "--skip-proof", "dns")
            await site.desk.relayctl("domain", "add", DOMAIN, "--primary", primary.address, *always_night)
            async with site.serving() as process:
                await site.desk.until(DOMAIN, health="up")
                await primary.stop()
                await site.desk.until(DOMAIN, health="down", continuity="active", ticket=3)
                yield site, process
        finally:
            site.desk.close()


async def test_a_node_killed_while_it_takes_mail_has_lost_none_that_it_answered_250_to(tmp_path: Path) -> None:
    """After the restart everything that got 250 is there, and the same ticket goes on to its resolution."""
    async with site_with_outage(tmp_path) as (site, process):
        sending = asyncio.create_task(site.send(0, 20_000))
        await eventually(lambda: len(site.sent) > 300, timeout=PATIENCE)
        process.kill()
        await sending
        before = await site.desk.ticket()
        async with site.serving():
            await site.desk.until(DOMAIN, health="down", continuity="active", ticket=3)
            await site.send(20_000, 20)
            await site.primary.start()
            after = await site.until_over()
            assert (after.id, after.events) == (before.id, ["opened", "priority", "resolved"])
            assert len(site.perhaps) <= CONNECTIONS
            await site.balance()


async def test_a_node_killed_while_it_hands_mail_back_doubles_at_most_what_was_in_flight(tmp_path: Path) -> None:
    """After the restart the rest is handed back; twice may be there only what the primary had and we hadn't noted."""
    async with site_with_outage(tmp_path, delivery={"max_connections": CONNECTIONS}) as (site, process):
        await site.send(0, 400)
        await site.primary.start()
        await eventually(lambda: len(site.primary.messages) > 100, timeout=PATIENCE, every=0.001)
        process.kill()
        await asyncio.to_thread(process.wait)
        await eventually(lambda: not site.primary.open_connections, timeout=PATIENCE)
        taken = len(site.primary.messages)
        assert taken < 400, "it was killed too late to tell anything"
        noted = (await site.desk.relayctl("ledger", DOMAIN))["delivered"]
        async with site.serving():
            after = await site.until_over()
            assert after.events == ["opened", "priority", "resolved"]
            double = {copy for copy, count in at_home(site.primary).items() if count > 1}
            assert len(double) <= taken - noted
            await site.balance(twice=double)


async def test_a_node_stopped_while_it_hands_mail_back_doubles_nothing(tmp_path: Path) -> None:
    """SIGTERM lets it finish what it is at: after the next start the rest is handed back, each letter once."""
    async with site_with_outage(tmp_path, delivery={"max_connections": CONNECTIONS}) as (site, process):
        await site.send(0, 400)
        await site.primary.start()
        await eventually(lambda: len(site.primary.messages) > 100, timeout=PATIENCE, every=0.001)
        process.terminate()
        assert await asyncio.to_thread(process.wait, PATIENCE) == 0
        assert len(site.primary.messages) < 400, "it was stopped too late to tell anything"
        async with site.serving():
            await site.until_over()
            await site.balance()
