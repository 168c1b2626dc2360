"""The outbox: what happened to tickets goes to the helpdesk, at least once and in order for each ticket.

The rows are written by relay.tickets.store in the transaction of the change itself. A helpdesk that fails is asked
again, ever more slowly, for as long as it takes; meanwhile what follows for the same ticket waits, other tickets
don't. After a crash what was on its way is delivered again. Delivered rows are kept for 30 days.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, or_, select, update

from relay import events
from relay.clock import Clock
from relay.db import Database
from relay.tickets.helpdesks.helpdesk import Helpdesk, Message
from relay.tickets.tables import outbox, tickets

AT_ONCE = 16
"""Tickets that are told about at the same time."""
PATIENCE = 60.0
"""Seconds that one delivery may take."""
FIRST_DELAY, LAST_DELAY = 5.0, 300.0
INTERVAL = 1.0
KEEP = 30 * 86400.0


@dataclass(frozen=True, slots=True)
class Delivery:
    """How one delivery went: ``error`` is empty where it arrived."""

    message: Message
    error: str
    external_ref: str | None = None


def delay(attempts: int) -> float:
    """Seconds to wait after that many failures in a row: 5, 10, 20 … 300."""
    return min(FIRST_DELAY * 2.0 ** min(attempts - 1, 10), LAST_DELAY)


def next_messages(connection: Connection, now: float, limit: int = AT_ONCE) -> list[Message]:
    """The first undelivered message of each ticket, where its time has come."""
    heads = (
        select(func.min(outbox.c.id)).where(outbox.c.sent_at.is_(None)).group_by(outbox.c.ticket_id).scalar_subquery()
    )
    query = (
        select(outbox, tickets.c.external_ref)
        .join(tickets)
        .where(outbox.c.id.in_(heads), outbox.c.next_attempt_at <= now)
        .order_by(outbox.c.next_attempt_at, outbox.c.id)
        .limit(limit)
    )
    return [
        Message(row.id, row.ticket_id, row.kind, row.payload, row.external_ref, row.created_at, row.attempts)
        for row in connection.execute(query)
    ]


def record_deliveries(connection: Connection, deliveries: Sequence[Delivery], now: float) -> None:
    """Mark what arrived, and set the next attempt for the rest."""
    for delivery in deliveries:
        message = delivery.message
        row = update(outbox).where(outbox.c.id == message.id)
        if delivery.error:
            attempts = message.attempts + 1
            connection.execute(
                row.values(attempts=attempts, next_attempt_at=now + delay(attempts), last_error=delivery.error)
            )
            continue
        connection.execute(row.values(sent_at=now))
        if delivery.external_ref is not None:
            connection.execute(
                update(tickets)
                .where(
                    tickets.c.id == message.ticket_id,
                    or_(tickets.c.external_ref.is_(None), tickets.c.external_ref != delivery.external_ref),
                )
                .values(external_ref=delivery.external_ref)
            )
    connection.execute(delete(outbox).where(outbox.c.sent_at < now - KEEP))


class Outbox:
    """The loop that delivers; one in a cluster."""

    def __init__(self, db: Database, clock: Clock, helpdesk: Helpdesk) -> None:
        self._db = db
        self._clock = clock
        self._helpdesk = helpdesk

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            try:
                delivered = await self.deliver_due()
            except Exception as error:
                # The rows are still there: whatever it was, they are tried again.
                events.fault("outbox", error)
                delivered = 0
            if not delivered:
                await asyncio.sleep(INTERVAL)

    async def deliver_due(self) -> int:
        """One round: what is due for at most :data:`AT_ONCE` tickets; returns how many messages were tried."""
        messages = await self._db.run(next_messages, self._clock.now())
        if messages:
            deliveries = await asyncio.gather(*map(self._deliver, messages))
            await self._db.change(record_deliveries, deliveries, self._clock.now())
        return len(messages)

    async def _deliver(self, message: Message) -> Delivery:
        try:
            async with asyncio.timeout(PATIENCE):
                return Delivery(message, "", await self._helpdesk.deliver(message))
        except Exception as error:
            text = str(error) or type(error).__name__
            events.helpdesk_failed(self._helpdesk.name, text, message.attempts + 1)
            return Delivery(message, text)
