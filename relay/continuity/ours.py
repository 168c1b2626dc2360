"""A ticket of the relay's own: its certificates are about to expire, which is no customer's business.

Each node looks after its own files, hourly and when its settings change; the ticket has the node's name where others
have an appliance's. (For customers it becomes one a week later: then the proof ``tls`` fails.)
"""

from __future__ import annotations

import asyncio

from sqlalchemy import Connection

from relay.clock import Clock, iso
from relay.db import Database
from relay.errors import StartFailed
from relay.settings import Settings, Smtp
from relay.tickets import desk, operators
from relay.tickets.states import Condition, Priority
from relay.tickets.ticket import Wanted
from relay.tls import expiries

NOTICE = 14 * 86400.0
"""Seconds before its end from which on a certificate is about to expire."""
EVERY = 3600.0


async def expiring(smtp: Smtp, now: float) -> str:
    """What is wrong with the certificates of the listeners, and what to do; empty where nothing is."""
    try:
        found = await asyncio.to_thread(expiries, smtp)
    except StartFailed as error:
        return f"{error}: without it the next start fails"
    return "; ".join(
        f"the certificate {file} {'expires' if now < ends else 'expired'} {iso(ends)}: renew it, then reload the node"
        for ends, file in found
        if ends - now < NOTICE
    )


class OwnCertificates:
    """One for each node."""

    def __init__(self, settings: Settings, db: Database, clock: Clock) -> None:
        self._node = settings.node.name
        self._smtp = settings.smtp
        self._db = db
        self._clock = clock
        self._next = float("-inf")
        self._told: str | None = None

    def reconfigure(self, settings: Settings) -> None:
        """Look at these files, at once."""
        self._smtp = settings.smtp
        self._next = float("-inf")

    async def look(self) -> None:
        """Bring the ticket up to what is so now, if it is time. Raises DatabaseError."""
        now = self._clock.now()
        if now < self._next:
            return
        text = await expiring(self._smtp, now)
        if text != self._told:
            await self._db.change(self._reconcile, text, now)
            self._told = text
        self._next = now + EVERY

    def _reconcile(self, connection: Connection, text: str, now: float) -> None:
        ticket = desk.reconcile(
            connection,
            Wanted(
                appliance_id=None,
                appliance=f"node {self._node}",
                customer="",
                condition=Condition.CERTIFICATE,
                domains=(),
                priority=Priority.P3 if text else None,
                started_at=now,
                reason=text or "Its certificates are valid for long enough again.",
            ),
            now,
        )
        if text and ticket is not None and not ticket.resolved:
            operators.comment_as_relay(connection, ticket.id, text, now)
