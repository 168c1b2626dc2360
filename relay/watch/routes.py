"""Where the watched appliances are reached when their primaries are found by MX, kept up to date.

Looked up when an appliance is new or changed, then once a minute (the resolver keeps answers as long as their TTL
says). An appliance of which no MX is left for us has a finding ``mx`` until that is mended; a DNS that doesn't answer
is none, and changes nothing. Appliances with fixed primaries need nothing of this but the end of old findings.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from itertools import islice

from sqlalchemy import Connection

from relay import events
from relay.appliances import facts
from relay.appliances.directory import Directory
from relay.appliances.model import Appliance, Domain, Primary
from relay.appliances.mx import Endpoints
from relay.clock import Clock
from relay.db import Database

FINDING = "mx"
EVERY = 60.0
"""Seconds between look-ups."""
AGAIN = 5.0
"""The same while the DNS gives no answer."""
TOGETHER = 20
"""Appliances looked up at the same time."""


class Routes:
    """``routed(appliance_id, primaries, problem, unknown)``: told the outcome of each look-up; ``primaries`` of all its
    domains, most preferred first, ``problem`` in words where there are none, ``unknown``: only for want of an answer.
    ``holds``: asked inside a transaction whether this node owns the appliance."""

    def __init__(
        self,
        endpoints: Endpoints,
        directory: Directory,
        db: Database,
        clock: Clock,
        holds: Callable[[Connection, int], bool],
        routed: Callable[[int, tuple[Primary, ...], str, bool], None],
    ) -> None:
        self._endpoints = endpoints
        self._directory = directory
        self._db = db
        self._clock = clock
        self._holds = holds
        self._routed = routed
        self._owned: Mapping[int, Appliance] = {}
        self._by_mx: dict[int, tuple[Appliance, tuple[Domain, ...]]] = {}
        self._changed = asyncio.Event()

    def follow(self, owned: Mapping[int, Appliance]) -> None:
        """These are the appliances now; where that is news for one found by MX, all are looked up again at once."""
        self._owned = owned
        by_mx = {
            number: (appliance, self._directory.domains_of(number))
            for number, appliance in owned.items()
            if not appliance.primaries
        }
        if by_mx != self._by_mx:
            self._by_mx = by_mx
            self._changed.set()

    async def run(self) -> None:
        """Look up, write findings, wait, and again."""
        while True:
            pause = AGAIN
            try:
                if await self._round():
                    pause = EVERY
            except Exception as error:
                events.fault("routes", error)
            try:
                async with asyncio.timeout(pause):
                    await self._changed.wait()
            except TimeoutError:
                pass  # nothing changed: time for the next round

    async def _round(self) -> bool:
        """True where the DNS answered for every appliance."""
        self._changed.clear()
        found = await self._db.run(_findings)
        findings = {number: evidence for number, evidence in found.items() if number in self._owned}
        wanted: dict[int, str] = {}
        complete = True
        left = iter(list(self._by_mx.values()))
        while together := list(islice(left, TOGETHER)):
            routes = await asyncio.gather(*(self._look_up(*each) for each in together))
            for (appliance, _), (problem, unknown) in zip(together, routes, strict=True):
                complete = complete and not unknown
                if problem:
                    wanted[appliance.id] = problem
                elif unknown and appliance.id in findings:
                    wanted[appliance.id] = findings[appliance.id]
        numbers = findings.keys() | wanted.keys()
        changes = {number: wanted.get(number) for number in numbers if findings.get(number) != wanted.get(number)}
        if changes:
            await self._db.change(self._store, changes, self._clock.now())
            await self._directory.refresh()
        return complete

    async def _look_up(self, appliance: Appliance, domains: Sequence[Domain]) -> tuple[str, bool]:
        """What is wrong with the MX sets, and whether the DNS failed to answer for some."""
        found = await asyncio.gather(*(self._endpoints.of(appliance, domain.name) for domain in domains))
        primaries = tuple(dict.fromkeys(primary for route in found for primary in route.primaries))
        unknown = any(route.unknown for route in found)
        reason = "; ".join(route.problem for route in found if route.problem) or "it has no domains yet"
        self._routed(appliance.id, primaries, "" if primaries else reason, unknown)
        return "; ".join(route.problem for route in found if route.problem and not route.unknown), unknown

    def _store(self, connection: Connection, changes: Mapping[int, str | None], now: float) -> None:
        for number, evidence in changes.items():
            if self._holds(connection, number):
                facts.set_finding(connection, number, "", FINDING, evidence, now)


def _findings(connection: Connection) -> dict[int, str]:
    """Ours are about the whole appliance; those about a domain come from the proof ``dns``."""
    return {
        finding.appliance_id: finding.evidence
        for finding in facts.list_findings(connection)
        if finding.condition == FINDING and not finding.domain
    }
