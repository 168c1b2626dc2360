"""The certificates that primaries show for STARTTLS: which of them are about to expire?

Once a day each primary of an appliance that is up is greeted as a delivery would, and let go before any mail; hourly
while its certificate is a finding, so that a new one is noticed soon. Only the date is looked at: whether a
certificate is trusted is a matter of [delivery] tls. A primary without STARTTLS, or that can't be reached, is none of
this room's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from sqlalchemy import Connection

from relay.appliances import facts
from relay.appliances.directory import Directory
from relay.appliances.facts import Health
from relay.appliances.model import Primary
from relay.appliances.mx import Endpoints
from relay.clock import Clock, iso
from relay.db import Database
from relay.errors import LookupFailed
from relay.smtp import connection as smtp
from relay.smtp.failure import Failure
from relay.tls import expiry_of
from relay.watch.rounds import again_and_again

CERTIFICATE = "certificate"
"""The condition of the findings."""
NOTICE = 14 * 86400.0
"""Seconds before its end from which on a certificate is about to expire."""
FIRST = 300.0
"""Seconds after the start until the first look: at first there are more urgent things."""
DAILY = 86400.0
AGAIN = 3600.0
"""Seconds between two looks, and where there is a finding or there was no answer."""
ROUND = 60.0
"""Seconds between two searches for those whose turn it is, unless the facts change."""
TOGETHER = 5
PATIENCE = 20.0
"""Seconds to connect, and for each reply."""


def expiring(seen: Mapping[Primary, float | None], now: float) -> str:
    """What is wrong with the certificates of an appliance, and what to do; empty where nothing is. Pure.

    ``seen``: when each primary's ends; None: it has none.
    """
    return "; ".join(
        f"the certificate that {primary} shows for STARTTLS {'expires' if now < ends else 'expired'} {iso(ends)}: "
        "have it renewed there"
        for primary, ends in seen.items()
        if ends is not None and ends - now < NOTICE
    )


class Certificates:
    """One for each node. ``primaries``: of an appliance, as far as known; the rest as in relay.watch.contracts."""

    def __init__(
        self,
        endpoints: Endpoints,
        directory: Directory,
        db: Database,
        clock: Clock,
        hostname: str,
        primaries: Callable[[int], Sequence[Primary]],
        owns: Callable[[int], bool],
        holds: Callable[[Connection, int], bool],
        settling: Callable[[float], bool],
    ) -> None:
        self._endpoints = endpoints
        self._directory = directory
        self._db = db
        self._clock = clock
        self._hostname = hostname
        self._primaries = primaries
        self._owns = owns
        self._holds = holds
        self._settling = settling
        self._turn = asyncio.Semaphore(TOGETHER)
        self._seen: dict[Primary, float | None] = {}
        self._next: dict[Primary, float] = {}
        self._begins = clock.now() + FIRST

    async def run(self) -> None:
        """Until cancelled."""
        await again_and_again(self.look, self._directory, ROUND, "certificates")

    async def look(self) -> None:
        """Greet those whose turn it is, and bring the findings up to what they showed. Raises DatabaseError."""
        snapshot, now = self._directory.snapshot, self._clock.now()
        owned = {number: tuple(self._primaries(number)) for number in snapshot.appliances if self._owns(number)}
        present = {primary for primaries in owned.values() for primary in primaries}
        for known in (self._next, self._seen):
            for primary in known.keys() - present:
                del known[primary]
        up = {
            primary
            for number, primaries in owned.items()
            if self._directory.health(number).state is Health.UP
            for primary in primaries
        }
        due = [primary for primary in up if self._next.get(primary, self._begins) <= now]
        await asyncio.gather(*map(self._greet, due))
        if self._settling(now):
            return
        found = {
            number: expiring({primary: self._seen[primary] for primary in primaries}, now)
            for number, primaries in owned.items()
            if primaries and all(primary in self._seen for primary in primaries)
        }
        written = await self._db.run(_written) if found else {}
        changes = {number: text for number, text in found.items() if text != written.get(number, "")}
        if changes:
            await self._db.change(self._store, changes, now)
            await self._directory.refresh()

    async def _greet(self, primary: Primary) -> None:
        self._next[primary] = self._clock.now() + AGAIN
        try:
            async with self._turn:
                session = await smtp.Connection.open(
                    primary.host,
                    primary.port,
                    local_hostname=self._hostname,
                    addresses=await self._endpoints.addresses(primary),
                    connect_timeout=PATIENCE,
                    reply_timeout=PATIENCE,
                )
                shown = session.certificate
                await session.say_goodbye()
        except (LookupFailed, Failure):
            return  # that it can't be reached is for probes to say
        if session.tls_failure is not None:
            return
        try:
            ends = None if shown is None else expiry_of(shown)
        except ValueError:
            return  # not one that can be read: nothing is known of its date
        self._seen[primary] = ends
        if ends is None or ends - self._clock.now() >= NOTICE:
            self._next[primary] = self._clock.now() + DAILY

    def _store(self, connection: Connection, changes: Mapping[int, str], now: float) -> None:
        for number, text in changes.items():
            if self._holds(connection, number):
                facts.set_finding(connection, number, "", CERTIFICATE, text or None, now)


def _written(connection: Connection) -> dict[int, str]:
    return {one.appliance_id: one.evidence for one in facts.list_findings(connection) if one.condition == CERTIFICATE}
