"""Rounds of proofs: begun when they are due, a few at the same time, and their evidence kept.

An appliance that has left ``up`` comes before those that are checked hourly.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection

from relay import events, settings
from relay.appliances import facts
from relay.appliances.facts import Health
from relay.clock import Clock
from relay.continuity.background import Background
from relay.continuity.case import NOW, Case
from relay.continuity.readiness import DNS, RECIPIENTS, Prover, Round
from relay.continuity.slices import write
from relay.continuity.store import record_proofs
from relay.db import Database

TOGETHER = 8
QUIET_EVERY = 0.1
"""Seconds between two rounds for appliances that are up: ten a second are thirty-six thousand an hour."""
RETRY = 5.0


class Rounds:
    """One for each node."""

    def __init__(
        self, rules: settings.Continuity, db: Database, prover: Prover, clock: Clock, background: Background
    ) -> None:
        self._rules = rules
        self._db = db
        self._prover = prover
        self._clock = clock
        self._background = background
        self._turn = asyncio.Semaphore(TOGETHER)
        self._quiet_at = float("-inf")
        self._found: list[tuple[Case, Round]] = []

    def reconfigure(self, rules: settings.Continuity) -> None:
        self._rules = rules

    def start_due(self, cases: Iterable[Case], now: float) -> None:
        """Begin what is due; nobody waits for it."""
        quiet = int(min((self._clock.monotonic() - self._quiet_at) / QUIET_EVERY, TOGETHER))
        for case in cases:
            if case.prove_at == NOW:
                case.schedule_proofs(self._rules, now)
            if case.prove_at > now or case.proving or not case.concerns(now):
                continue
            if case.health.state in (Health.UP, Health.UNKNOWN):
                if quiet == 0:
                    continue
                quiet -= 1
                self._quiet_at = self._clock.monotonic()
            case.proving = True
            self._background.start(self._prove(case))

    async def record(self) -> bool:
        """Keep the evidence that has come in, and let it be weighed; True where there was some. What can't be kept
        counts for nothing."""
        found, self._found = self._found, []
        for (case, result), kept in await write(self._db, self._record, found):
            if isinstance(kept, Exception):
                continue
            held = {proof.name for proof in case.proofs if proof.ok}
            for proof in result.proofs:
                if not proof.ok and (proof.name in held or not case.proofs):
                    events.proof_failed(case.appliance.name, proof.name, proof.evidence)
            case.proofs = result.proofs
            case.next_at = case.prove_at = NOW
        return bool(found)

    async def _prove(self, case: Case) -> None:
        try:
            async with self._turn:
                domains = case.provable(self._clock.now())
                result = await self._prover.prove(case.appliance, domains, case.proofs)
            self._found.append((case, result))
        finally:
            case.proving = False
            # Should the round have failed, or its evidence not be kept.
            case.prove_at = self._clock.now() + RETRY

    def _record(self, connection: Connection, found: Sequence[tuple[Case, Round]]) -> list[None]:
        now = self._clock.now()
        record_proofs(connection, [(case.appliance.id, proof) for case, result in found for proof in result.proofs])
        for case, result in found:
            number = case.appliance.id
            if facts.get_health(connection, number) is None:
                continue  # it was removed meanwhile
            findings = dict(result.findings)
            for finding in facts.list_findings(connection, number):
                if finding.condition in (DNS, RECIPIENTS) and finding.domain not in case.domain_names:
                    findings[finding.domain, finding.condition] = None
            for (domain, condition), evidence in findings.items():
                facts.set_finding(connection, number, domain, condition, evidence, now)
        return [None] * len(found)
