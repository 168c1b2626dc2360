"""One sync: ask the customer's directory, hold what it says against the lists, and keep both together.

    database ──lists──▶ search ──addresses──▶ decide ──state──▶ one transaction: lists, state, finding

Promises: what a directory didn't say in full changes no list; lists, state and finding change in one transaction or not
at all; of two syncs of one appliance at the same time (a node's and an operator's) the later to end changes nothing.
A password is read from its file for each sync, and kept nowhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from sqlalchemy import Connection

from relay import events
from relay.appliances import facts
from relay.appliances.facts import Health
from relay.appliances.model import Appliance, Domain
from relay.clock import Clock
from relay.db import Database
from relay.dns import Resolver
from relay.errors import SyncFailed
from relay.recipients import lists
from relay.recipients.entry import Entry, Source
from relay.recipients.lists import Change
from relay.recipients.sync import decide
from relay.recipients.sync.ldap import Limits, search
from relay.recipients.sync.model import CustomerDirectory, SyncState
from relay.recipients.sync.password import read_password
from relay.recipients.sync.store import FINDING, DirectorySync, find, listed_domains, set_state

THREADS = 2


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a sync. ``changes``: by domain, of the lists that were taken; ``evidence``: what is wrong, None
    where nothing is. ``kept``: False where it was overtaken, or only tried."""

    appliance: Appliance
    state: SyncState
    changes: Mapping[str, Change] = field(default_factory=dict)
    evidence: str | None = None
    kept: bool = True


@dataclass(frozen=True, slots=True)
class _Lists:
    """``domains``: those that take listed recipients alone; ``had``: by name, what the sync has listed there."""

    domains: tuple[Domain, ...]
    had: Mapping[str, frozenset[str]]


class Syncer:
    """One for each process. ``limits``: of the directories' time."""

    def __init__(self, db: Database, resolver: Resolver, clock: Clock, limits: Limits | None = None) -> None:
        self._db = db
        self._resolver = resolver
        self._clock = clock
        self._limits = limits or Limits()
        self._pool = ThreadPoolExecutor(THREADS, "ldap")

    def close(self) -> None:
        """Nothing may be running any more."""
        self._pool.shutdown(wait=False)

    async def sync(
        self,
        appliance: Appliance,
        *,
        accept_loss: bool = False,
        dry_run: bool = False,
        holds: Callable[[Connection, int], bool] = lambda _connection, _appliance_id: True,
    ) -> Report | None:
        """Sync now; None where there is no directory. ``holds``: asked inside the transaction whether this may still be
        done here. Never raises for what a directory does."""
        before = await self._db.run(find, appliance.id)
        if before is None:
            return None
        present = await self._db.run(_lists, appliance.id)
        found: dict[str, set[str]] = {}
        try:
            if present.domains:
                found = await self._search(before.directory, present.had)
        except SyncFailed as error:
            state = decide.failed(before.state, str(error), self._clock.now())
        else:
            state = decide.succeeded(before.state, present.had, found, self._clock.now(), accept=accept_loss)
        taken = {name: found[name] for name in found if name not in state.losses}
        report = Report(
            appliance,
            state,
            {name: _change(present.had[name], addresses) for name, addresses in taken.items()},
            decide.evidence(before.directory, state, appliance.name),
            kept=False,
        )
        if dry_run or not await self._db.change(_record, before, present, taken, report, holds, self._clock.now()):
            return report
        _tell(report)
        return Report(appliance, state, report.changes, report.evidence)

    async def _search(self, directory: CustomerDirectory, domains: Mapping[str, frozenset[str]]) -> dict[str, set[str]]:
        """By domain, what its first server that answers has. Raises SyncFailed with what each of them did."""
        password = ""
        if directory.user:
            loop = asyncio.get_running_loop()
            password = await loop.run_in_executor(self._pool, read_password, directory.password_file)
        failures = []
        for url in directory.urls:
            try:
                return await search(directory, url, password, domains, self._resolver, self._pool, self._limits)
            except SyncFailed as error:
                failures.append(f"{url.place}: {error}")
        raise SyncFailed("; ".join(failures))


def _lists(connection: Connection, appliance_id: int) -> _Lists:
    domains = tuple(listed_domains(connection, appliance_id))
    had = {
        domain.name: frozenset(one.entry.local for one in lists.list_all(connection, domain, Source.SYNC))
        for domain in domains
    }
    return _Lists(domains, had)


def _change(had: frozenset[str], found: set[str]) -> Change:
    return Change(len(found - had), len(had - found), len(found))


def _record(
    connection: Connection,
    before: DirectorySync,
    present: _Lists,
    taken: Mapping[str, set[str]],
    report: Report,
    holds: Callable[[Connection, int], bool],
    now: float,
) -> bool:
    """False where the ground has changed meanwhile: the next sync goes by what is there then."""
    number = report.appliance.id
    if find(connection, number) != before or not holds(connection, number):
        return False
    if tuple(listed_domains(connection, number)) != present.domains:
        return False
    for domain in present.domains:
        found = taken.get(domain.name)
        if found is not None and found != present.had[domain.name]:
            lists.replace(connection, domain, Source.SYNC, map(Entry, sorted(found)), now)
    set_state(connection, number, report.state)
    if report.evidence is None or not _expected(connection, report):
        facts.set_finding(connection, number, "", FINDING, report.evidence, now)
    return True


def _expected(connection: Connection, report: Report) -> bool:
    """Whether it is no news that the sync fails: the whole site may be down, and has a ticket for that."""
    number = report.appliance.id
    health = facts.get_health(connection, number)
    known = any(finding.condition == FINDING for finding in facts.list_findings(connection, number))
    return bool(report.state.failures) and not known and health is not None and health.state is Health.DOWN


def _tell(report: Report) -> None:
    name, state = report.appliance.name, report.state
    if report.evidence is not None:
        events.sync_failed(name, report.evidence)
    else:
        added, removed = (sum(getattr(one, part) for one in report.changes.values()) for part in ("added", "removed"))
        events.synced(name, state.addresses, added, removed)
