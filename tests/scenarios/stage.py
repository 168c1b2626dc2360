"""The set of a scenario: a customer's primary, its DNS, a node, strangers who send; and the balance at the end.

    async with stage(tmp_path, at=NIGHT) as acme:
        await acme.goes_down()
        await acme.send(range(10))
        ...
        await acme.balance()

The customer is Acme Ltd in Berlin. All six proofs are live: the name server is a stub, everything else is real.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.scenarios.balance import SENDER, Copy, at_home, balance, send
from tests.support.clock import StagedClock
from tests.support.desk import PATIENCE, Ticket
from tests.support.dns_stub import DnsStub
from tests.support.node import HOSTNAME, Node, running
from tests.support.primary import ScriptedPrimary
from tests.support.waiting import eventually

DOMAIN = "acme.example"
ZONE = "Europe/Berlin"
HOURS = "Mon-Fri 09:00-18:00"
NIGHT = "2026-11-28 20:00"
"""A Saturday evening."""
MORNING = "2026-11-27 10:00"
"""A Friday in business hours."""
PROOFS = ("dns", "loop", "space", "expiry", "recipients", "tls")


class Stage:
    """See above. ``sent``: what the relay has answered 250 to."""

    def __init__(self, folder: Path, node: Node, primary: ScriptedPrimary, dns: DnsStub, clock: StagedClock) -> None:
        self.node = node
        self.primary = primary
        self.dns = dns
        self.clock = clock
        self.sent: list[Copy] = []
        self._folder = folder

    async def is_up(self) -> None:
        """Wait until the appliance is known to be up, and its readiness to be proven or not."""

        async def looked_at() -> bool:
            return (await self.node.status(DOMAIN))["ready"] is not None

        await self.node.until(DOMAIN, health="up")
        await eventually(looked_at, timeout=PATIENCE)

    async def is_down(self) -> None:
        await self.node.until(DOMAIN, health="down")

    async def goes_down(self) -> None:
        """It is up, and readiness known, until its primary answers no more."""
        await self.is_up()
        await self.primary.stop()
        await self.is_down()

    async def send(self, numbers: Iterable[int], to: Sequence[str] = (), sender: str = SENDER) -> None:
        """Letters of these numbers, each to ``to`` or else to a recipient of its own; each has got 250 then."""
        letters = [(number, to or (f"user{number}@{DOMAIN}",)) for number in numbers]
        unsure: list[Copy] = []
        await asyncio.to_thread(send, self.node.address, letters, self.sent, unsure, sender)
        assert not unsure, "the relay cut the connection"

    async def all_home(self) -> None:
        """Wait until the primary has everything that was sent."""
        await eventually(lambda: set(self.sent) <= at_home(self.primary).keys(), timeout=PATIENCE, every=0.05)

    async def balance(self, *, twice: Iterable[str] = ()) -> dict[str, dict[str, Any]]:
        """``twice``: recipients whose letter may have arrived more than once. Returns the ledger by domain."""
        double = {copy for copy in self.sent if copy.recipient in set(twice)}
        return await balance(self.node.relayctl, self._folder, self.primary, self.sent, twice=double)


def proven(ticket: Ticket) -> str:
    """The sentence with which it was last lowered to P3; below it every proof must have its line."""
    text, *lines = ticket.told("priority", to=3)[-1].splitlines()
    assert [line.partition(":")[0] for line in lines] == list(PROOFS), ticket.story
    return text


@asynccontextmanager
async def stage(
    folder: Path,
    *,
    at: str,
    hours: str = HOURS,
    domains: Sequence[str] = (DOMAIN,),
    options: Sequence[str] = (),
    settings: Mapping[str, Mapping[str, Any]] = {},
) -> AsyncIterator[Stage]:
    """``at``: when the story begins, in Berlin. ``options``: more of ``relayctl appliance add``."""
    clock = StagedClock.at(at, ZONE)
    # Nobody can listen on port 25 of that address, whatever mail server this machine may have.
    records: dict[str, Sequence[str]] = {f"{HOSTNAME} A": ["255.255.255.255"], "mail.acme.example A": ["127.0.0.1"]}
    records |= {f"{domain} MX": ["10 mail.acme.example.", f"20 {HOSTNAME}."] for domain in domains}
    async with DnsStub(records, ttl=1) as dns, ScriptedPrimary() as primary:
        together = {**settings, "dns": {"resolvers": [dns.address]}}
        async with running(folder, clock=clock, settings=together) as node:
            place = ("--business-hours", hours, "--timezone", ZONE)
            await node.relayctl(
                "appliance", "add", "acme", "--customer", "Acme Ltd", "--primary", primary.address, *place, *options
            )
            for domain in domains:
                await node.relayctl("domain", "add", domain, "--appliance", "acme")
            yield Stage(folder, node, primary, dns, clock)
