"""Which primaries accept whatever they are asked for: there is nothing to learn of them, and an operator should know.

Asked about an address that nobody could have guessed, at first use and daily. One that accepts it has a finding of its
own until it no longer does, or until the domain isn't learned any more.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection

from sqlalchemy import Connection

from relay import events
from relay.appliances import facts
from relay.appliances.model import Domain
from relay.clock import Clock
from relay.db import Database
from relay.recipients.learned import DAY, WILDCARD, WILDCARD_EVIDENCE, Answer
from relay.recipients.memory import Memory

AGAIN = 600.0
"""Seconds until one that gave no answer (4xx: greylisting, perhaps) is asked about the same address again."""

Place = tuple[int, str]
"""Appliance and domain: what a finding is about."""


class Wildcards:
    """One for each node. ``owns``, ``holds``: as relay.recipients.learning has them."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        owns: Callable[[int], bool],
        holds: Callable[[Connection, int], bool],
    ) -> None:
        self.news = True
        """Whether something may have to be said, or taken back."""
        self._db = db
        self._clock = clock
        self._owns = owns
        self._holds = holds
        self._strangers: dict[int, str] = {}
        self._not_before: dict[int, float] = {}

    def due(self, domain: Domain, memory: Memory, *, settled: bool) -> bool:
        """Whether the primary should be asked now; ``settled``: its return is a while ago."""
        if self._clock.monotonic() < self._not_before.get(domain.id, float("-inf")):
            return False
        return memory.everybody is None or (settled and self._clock.now() - memory.everybody.last_at >= DAY)

    def stranger(self, domain: Domain) -> str:
        """The address to ask about: the same one until there is an answer."""
        self._not_before[domain.id] = self._clock.monotonic() + AGAIN
        return self._strangers.setdefault(domain.id, f"no-such-{secrets.token_hex(12)}")

    def answered(self, domain: Domain, memory: Memory, answer: Answer) -> None:
        """The primary has said whether it takes anybody."""
        self._strangers.pop(domain.id, None)
        self._not_before.pop(domain.id, None)
        before = memory.wildcard
        memory.learn_everybody(answer, self._clock.now())
        if memory.wildcard is not before:
            events.wildcard(domain.name, accepts_all=memory.wildcard)
            self.news = True

    async def say(self, wildcards: Collection[Domain]) -> None:
        """Bring the findings of our appliances up to what is known now. Raises DatabaseError."""
        self.news = False
        try:
            findings = await self._db.run(facts.list_findings)
            said = {(one.appliance_id, one.domain) for one in findings if one.condition == WILDCARD}
            wanted = {(domain.appliance_id, domain.name) for domain in wildcards}
            changes = {place: place in wanted for place in said ^ wanted if self._owns(place[0])}
            if changes:
                await self._db.change(self._store, changes, self._clock.now())
        except BaseException:
            self.news = True
            raise

    def _store(self, connection: Connection, changes: dict[Place, bool], now: float) -> None:
        for (appliance_id, domain), is_one in changes.items():
            if self._holds(connection, appliance_id):
                evidence = WILDCARD_EVIDENCE if is_one else None
                facts.set_finding(connection, appliance_id, domain, WILDCARD, evidence, now)
