"""Domains whose contract is over: does an MX record still send their mail here?

Looked up a few times a day, a few at the same time, by the owner of the appliance, and recorded for the edge, which
puts their mail off as long as one does (relay.appliances.contract). While the clock is doubted nothing is recorded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import islice

from sqlalchemy import Connection

from relay.appliances.contract import Naming, due, observe, set_namings
from relay.appliances.directory import Directory
from relay.appliances.model import Domain
from relay.appliances.mx import Endpoints
from relay.clock import Clock
from relay.db import Database
from relay.watch.rounds import again_and_again

LOOK = 60.0
"""Seconds between two searches for domains that are due, unless the facts change."""
TOGETHER = 20
"""Domains looked up at the same time, and recorded in one transaction."""


class Contracts:
    """One for each node. ``owns``, ``holds``: whether this node looks after an appliance, from memory and inside a
    transaction; ``settling``: whether the clock is doubted."""

    def __init__(
        self,
        endpoints: Endpoints,
        directory: Directory,
        db: Database,
        clock: Clock,
        owns: Callable[[int], bool],
        holds: Callable[[Connection, int], bool],
        settling: Callable[[float], bool],
    ) -> None:
        self._endpoints = endpoints
        self._directory = directory
        self._db = db
        self._clock = clock
        self._owns = owns
        self._holds = holds
        self._settling = settling

    async def run(self) -> None:
        """Look, record, wait, and again, until cancelled."""
        await again_and_again(self._round, self._directory, LOOK, "contracts")

    async def _round(self) -> None:
        now, snapshot = self._clock.now(), self._directory.snapshot
        if self._settling(now):
            return
        left = iter(
            [
                domain
                for domain in snapshot.domains.values()
                if due(domain, snapshot.naming.get(domain.id), now) and self._owns(domain.appliance_id)
            ]
        )
        while together := list(islice(left, TOGETHER)):
            named = await asyncio.gather(*(self._endpoints.names_us(domain.name) for domain in together))
            found = {
                domain.id: (domain, observe(snapshot.naming.get(domain.id), answer, self._clock.now()))
                for domain, answer in zip(together, named, strict=True)
            }
            await self._db.change(self._store, list(found.values()))
            await self._directory.refresh()

    def _store(self, connection: Connection, found: Sequence[tuple[Domain, Naming]]) -> None:
        held = {domain.id: one for domain, one in found if self._holds(connection, domain.appliance_id)}
        if held:
            set_namings(connection, held)
