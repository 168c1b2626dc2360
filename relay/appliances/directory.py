"""What this node knows of every appliance and domain, in memory: answered at once, on the loop, without a query.

A snapshot of the tables, replaced whole when they change (``refresh`` asks one small row whether they did). Those
who act on changes wait with :meth:`Directory.changed`.
"""

from __future__ import annotations

import asyncio
import dataclasses
from dataclasses import dataclass, field

from sqlalchemy import Connection

from relay.appliances import facts, store
from relay.appliances.contract import Naming, all_namings
from relay.appliances.facts import Continuity, ContinuityFact, Health, HealthFact, Window
from relay.appliances.model import Appliance, Domain
from relay.db import Database

_NO_HEALTH = HealthFact(Health.UNKNOWN, "not probed yet", 0.0)
_NO_CONTINUITY = ContinuityFact(Continuity.STANDBY, 0.0)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything known at one version of the facts; keys are domain names and appliance ids.

    ``directory``: the version at which appliances or domains last changed.
    """

    version: int = -1
    directory: int = -1
    appliances: dict[int, Appliance] = field(default_factory=dict)
    domains: dict[str, Domain] = field(default_factory=dict)
    domains_of: dict[int, tuple[Domain, ...]] = field(default_factory=dict)
    health: dict[int, HealthFact] = field(default_factory=dict)
    continuity: dict[int, ContinuityFact] = field(default_factory=dict)
    windows: tuple[Window, ...] = ()
    naming: dict[int, Naming] = field(default_factory=dict)
    """By domain id, of domains whose contract is over."""


class Directory:
    """The snapshot that every room of a node reads."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._snapshot = Snapshot()
        self._changed = asyncio.Event()
        self._refreshing = asyncio.Lock()

    @property
    def snapshot(self) -> Snapshot:
        return self._snapshot

    def domain(self, name: str) -> Domain | None:
        """A Gold domain by its name in lower case, A-labels."""
        return self._snapshot.domains.get(name)

    def appliance(self, appliance_id: int) -> Appliance | None:
        return self._snapshot.appliances.get(appliance_id)

    def domains_of(self, appliance_id: int) -> tuple[Domain, ...]:
        return self._snapshot.domains_of.get(appliance_id, ())

    def health(self, appliance_id: int) -> HealthFact:
        return self._snapshot.health.get(appliance_id, _NO_HEALTH)

    def continuity(self, appliance_id: int) -> ContinuityFact:
        return self._snapshot.continuity.get(appliance_id, _NO_CONTINUITY)

    def naming(self, domain_id: int) -> Naming | None:
        """What the DNS says of a domain whose contract is over; None before anybody looked."""
        return self._snapshot.naming.get(domain_id)

    async def refresh(self) -> bool:
        """Reload if the facts changed; True if they did."""
        async with self._refreshing:
            snapshot = await self._db.run(load, self._snapshot)
            if snapshot is None:
                return False
            self._snapshot = snapshot
            self.look_again()
            return True

    def look_again(self) -> None:
        """Something has changed that isn't in the snapshot, but goes with it: who works for what."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def changed(self) -> None:
        """Wait for the next change of anything."""
        await self._changed.wait()

    async def changed_since(self, version: int, within: float) -> None:
        """Wait until the snapshot is of another version; ``within`` seconds at most."""
        try:
            async with asyncio.timeout(within):
                while self._snapshot.version == version:
                    await self.changed()
        except TimeoutError:
            pass  # for who waits, time alone is a reason to look again


def load(connection: Connection, known: Snapshot = Snapshot()) -> Snapshot | None:
    """The snapshot of now; None where that is still ``known``, of which is kept what hasn't changed.

    Health changes all the time while a region is down; a hundred thousand domains take seconds to read.
    """
    version, directory = facts.versions(connection)
    if version == known.version:
        return None
    if directory != known.directory:
        known = _load_directory(connection)
    return dataclasses.replace(
        known,
        version=version,
        directory=directory,
        health=known.health | facts.all_health(connection, after=known.version),
        continuity=known.continuity | facts.all_continuity(connection, after=known.version),
        windows=tuple(facts.list_windows(connection)),
        naming=all_namings(connection),
    )


def _load_directory(connection: Connection) -> Snapshot:
    """Appliances and domains; nothing else, of no version."""
    domains = store.list_domains(connection)
    grouped: dict[int, list[Domain]] = {}
    for domain in domains:
        grouped.setdefault(domain.appliance_id, []).append(domain)
    return Snapshot(
        appliances={appliance.id: appliance for appliance in store.list_appliances(connection)},
        domains={domain.name: domain for domain in domains},
        domains_of={number: tuple(group) for number, group in grouped.items()},
    )
