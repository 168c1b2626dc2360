"""What a customer's set-up needs in time: a fresh backup, room in the quota, a contract that goes on.

Looked at by the owner of an appliance once a minute and when the facts change, and written as findings: what is cured
is taken back by itself. While the clock is doubted nothing is written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from itertools import islice

from sqlalchemy import Connection

from relay.appliances import facts
from relay.appliances.backups import last_backups
from relay.appliances.directory import Directory
from relay.appliances.model import Appliance, Domain
from relay.clock import Clock, iso
from relay.db import Database
from relay.queue.sums import Depth
from relay.watch.rounds import again_and_again

BACKUP, QUOTA, CONTRACT = "backup", "quota", "contract"
"""Conditions of findings."""
NOTICE = 30 * 86400.0
"""Seconds before a contract's end from which on it is said."""
FULL, ROOM = 0.8, 0.7
"""A quota is said to be nearly used from the first on, and until less than the second is used."""
LOOK = 60.0
"""Seconds between two looks, unless the facts change."""
BREATH = 500
"""Appliances after which the event loop gets its turn."""
TOGETHER = 200
"""Findings written in one transaction."""

Place = tuple[str, str]
"""A domain (empty: the whole appliance) and a condition."""


def needs(
    appliance: Appliance,
    domains: Sequence[Domain],
    backup_at: float | None,
    depth: Callable[[str], Depth],
    before: Mapping[Place, str],
    now: float,
) -> dict[Place, str]:
    """What is wrong, with what to do about it. ``before``: what was wrong then; ``depth``: of a domain. Pure."""
    wrong = {("", BACKUP): _backup(appliance, backup_at, now)}
    for domain in domains:
        wrong[domain.name, QUOTA] = _quota(domain, depth(domain.name), before.get((domain.name, QUOTA), ""))
        wrong[domain.name, CONTRACT] = _contract(domain, now)
    return {place: evidence for place, evidence in wrong.items() if evidence}


def _backup(appliance: Appliance, made_at: float | None, now: float) -> str:
    if not appliance.backup_every or (made_at is not None and now - made_at < appliance.backup_every):
        return ""
    last = "no backup of it is recorded" if made_at is None else f"its last backup is of {iso(made_at)}, and too old"
    return f"{last}: have one made, then say 'relayctl backup record {appliance.name}'"


def _quota(domain: Domain, depth: Depth, before: str) -> str:
    for what, option, used, quota in (
        ("bytes", "--quota", depth.bytes, domain.quota),
        ("messages", "--quota-messages", depth.messages, domain.quota_messages),
    ):
        limit = ROOM if f"quota of {what}" in before else FULL
        if quota and used >= limit * quota:
            return (
                f"the mail that waits has come to {FULL:.0%} of the quota of {what}, past which new mail is put off: "
                f"bring the appliance back, or say 'relayctl domain set {domain.name} {option}'"
            )
    return ""


def _contract(domain: Domain, now: float) -> str:
    if domain.ends_at is None or now < domain.ends_at - NOTICE:
        return ""
    ends = "ends with" if domain.contract_runs(now) else "is over since the end of"
    return (
        f"the contract {ends} {domain.until}: agree on a new end and say 'relayctl domain set {domain.name} --until', "
        "or have this relay taken out of its MX set"
    )


class Upkeep:
    """One for each node. ``owns``, ``holds``: whether this node looks after an appliance, from memory and inside a
    transaction; ``settling``: whether the clock is doubted; ``depth``: what waits for a domain."""

    def __init__(
        self,
        directory: Directory,
        db: Database,
        clock: Clock,
        owns: Callable[[int], bool],
        holds: Callable[[Connection, int], bool],
        settling: Callable[[float], bool],
        depth: Callable[[str], Depth],
    ) -> None:
        self._directory = directory
        self._db = db
        self._clock = clock
        self._owns = owns
        self._holds = holds
        self._settling = settling
        self._depth = depth

    async def run(self) -> None:
        """Look, write, wait, and again, until cancelled."""
        await again_and_again(self.look, self._directory, LOOK, "upkeep")

    async def look(self) -> None:
        """Bring the findings up to what is so now; writes only what changed. Raises DatabaseError."""
        now, snapshot = self._clock.now(), self._directory.snapshot
        if self._settling(now):
            return
        backups, written = await self._db.run(_known)
        changes: list[tuple[int, Place, str | None]] = []
        for place, (number, appliance) in enumerate(snapshot.appliances.items(), 1):
            if place % BREATH == 0:
                await asyncio.sleep(0)
            if self._owns(number):
                before = written.get(number, {})
                after = needs(
                    appliance, snapshot.domains_of.get(number, ()), backups.get(number), self._depth, before, now
                )
                changes += [
                    (number, about, after.get(about))
                    for about in sorted(before.keys() | after.keys())
                    if before.get(about) != after.get(about)
                ]
        left = iter(changes)
        while together := list(islice(left, TOGETHER)):
            await self._db.change(self._store, together, now)
        if changes:
            await self._directory.refresh()

    def _store(self, connection: Connection, changes: Sequence[tuple[int, Place, str | None]], now: float) -> None:
        for number, (domain, condition), evidence in changes:
            if self._holds(connection, number):
                facts.set_finding(connection, number, domain, condition, evidence, now)


def _known(connection: Connection) -> tuple[dict[int, float], Mapping[int, dict[Place, str]]]:
    """When each appliance was last backed up, and the findings of ours."""
    written: dict[int, dict[Place, str]] = {}
    for one in facts.list_findings(connection):
        if one.condition in (BACKUP, QUOTA, CONTRACT):
            written.setdefault(one.appliance_id, {})[one.domain, one.condition] = one.evidence
    return last_backups(connection), written
