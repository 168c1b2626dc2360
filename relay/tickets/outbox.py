"""The outbox: what happened to tickets goes to the helpdesk, at least once and in order for each ticket.

The rows are written by relay.tickets.store in the transaction of the change itself. A message that the helpdesk doesn't
take is tried again, ever more slowly, for as long as it takes; meanwhile what follows for the same ticket waits, other
tickets don't. A helpdesk that takes no messages at all is left alone for a while, and then asked with one message
before it gets the others. After a crash what was on its way is delivered again. Delivered rows are kept for 30 days.
"""

from __future__ import annotations

import asyncio
import functools
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, or_, update

from relay import events
from relay.clock import Clock
from relay.db import Database
from relay.errors import HelpdeskDown, HelpdeskError, HelpdeskGone
from relay.tickets import contact
from relay.tickets.contact import Contact, delay
from relay.tickets.helpdesks.helpdesk import Helpdesk, Message
from relay.tickets.plan import Terms
from relay.tickets.tables import outbox, tickets
from relay.tickets.telling import Waiting, next_messages, waiting

AT_ONCE = 16
"""Tickets that are told about at the same time."""
PATIENCE = 30.0
"""Seconds that one delivery may take."""
INTERVAL = 1.0
KEEP = 30 * 86400.0


@dataclass(frozen=True, slots=True)
class Delivery:
    """How one delivery went: ``error`` is None where it arrived."""

    message: Message
    error: Exception | None
    external_ref: str | None = None


def due(
    connection: Connection, name: str, url: str, now: float, terms: Terms, under_way: frozenset[int]
) -> list[Message]:
    """What may be sent now, beside what is ``under_way`` for other tickets."""
    at = contact.load(connection, name, url)
    if not at.takes_messages(now):
        return []
    room = (1 if at.trouble else AT_ONCE) - len(under_way)
    return next_messages(connection, now, terms, room, under_way) if room > 0 else []


def record_delivery(
    connection: Connection, name: str, url: str, delivery: Delivery, now: float, spread: float
) -> tuple[Contact, Contact]:
    """Mark what arrived, or set the next attempt; returns how we stood with the helpdesk, and how we do now."""
    before = contact.load(connection, name, url)
    message, error = delivery.message, delivery.error
    row = update(outbox).where(outbox.c.id == message.id, outbox.c.sent_at.is_(None))
    if error is None:
        connection.execute(row.values(sent_at=now))
        _keep_reference(connection, message.ticket_id, delivery.external_ref)
        connection.execute(delete(outbox).where(outbox.c.sent_at < now - KEEP))
    else:
        attempts = message.attempts + 1
        # Where the helpdesk is down its own pause counts, so that all go on as soon as it is back.
        pause = 0.0 if isinstance(error, HelpdeskDown | HelpdeskGone) else delay(attempts, spread)
        connection.execute(row.values(attempts=attempts, next_attempt_at=now + pause, last_error=_text(error)))
    after = before
    if isinstance(error, HelpdeskDown | HelpdeskGone):
        after = before.lost(error, now, spread)
    elif error is None or isinstance(error, HelpdeskError):  # a no to this message is an answer too, silence isn't
        after = before.reached(now)
    contact.save(connection, after)
    return before, after


class Outbox:
    """The loop that delivers; one in a cluster: ``may`` says whether it is this node's turn."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        helpdesk: Helpdesk,
        terms: Terms,
        *,
        may: Callable[[], bool] = lambda: True,
        patience: float = PATIENCE,
    ) -> None:
        self._db = db
        self._clock = clock
        self._helpdesk = helpdesk
        self._next: Helpdesk | None = None
        self._terms = terms
        self._may = may
        self._patience = patience
        self._under_way: dict[int, asyncio.Task[None]] = {}

    def reconfigure(self, helpdesk: Helpdesk, terms: Terms) -> None:
        """Tell another helpdesk, or the same with other settings, once what is on its way has ended."""
        self._next = helpdesk
        self._terms = terms

    @property
    def busy(self) -> bool:
        """Whether something is on its way to the helpdesk."""
        return bool(self._under_way)

    async def run(self) -> None:
        """Until it is cancelled; what is on its way then is delivered again at the next start."""
        try:
            while True:
                try:
                    await self.begin_due()
                except Exception as error:
                    # The rows are still there: whatever it was, they are tried again.
                    events.fault("outbox", error)
                    await asyncio.sleep(INTERVAL)
                if self._under_way:
                    ends = self._under_way.values()
                    await asyncio.wait(ends, timeout=INTERVAL, return_when=asyncio.FIRST_COMPLETED)
                else:
                    await asyncio.sleep(INTERVAL)
        finally:
            await self.close()

    async def begin_due(self) -> list[asyncio.Task[None]]:
        """Begin to deliver what is due, for at most :data:`AT_ONCE` tickets at a time; returns what was begun."""
        if self._next is not None:
            if self._under_way:
                return []
            await self._change_helpdesk(self._next)
        now = self._clock.now()
        self._tell(await self._db.run(waiting), now)
        if not self._may():
            return []
        under_way = frozenset(self._under_way)
        messages = await self._db.run(due, self._helpdesk.name, self._helpdesk.url, now, self._terms, under_way)
        begun = []
        for message in messages:
            task = asyncio.create_task(self._deliver(self._helpdesk, message))
            self._under_way[message.ticket_id] = task
            task.add_done_callback(functools.partial(self._ended, message.ticket_id))
            begun.append(task)
        return begun

    async def close(self) -> None:
        for task in (under_way := list(self._under_way.values())):
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        await self._helpdesk.close()

    def _ended(self, ticket_id: int, _task: asyncio.Task[None]) -> None:
        del self._under_way[ticket_id]

    async def _change_helpdesk(self, helpdesk: Helpdesk) -> None:
        before, self._helpdesk, self._next = self._helpdesk, helpdesk, None
        await before.close()
        if self._may():
            await self._db.change(contact.ask_again, helpdesk.name, helpdesk.url)

    async def _deliver(self, helpdesk: Helpdesk, message: Message) -> None:
        delivery = await self._try(helpdesk, message)
        spread = random.uniform(0.5, 1.0)  # noqa: S311 - it keeps no secret
        try:
            before, after = await self._db.change(
                record_delivery, helpdesk.name, helpdesk.url, delivery, self._clock.now(), spread
            )
        except Exception as error:
            # It is delivered again, which the helpdesk recognises; not at once, for the database has its own trouble.
            events.fault("outbox", error)
            await asyncio.sleep(INTERVAL)
            return
        if delivery.error is not None:
            events.helpdesk_failed(helpdesk.name, _text(delivery.error), message.ticket_id, message.attempts + 1)
        else:
            events.helpdesk_told(helpdesk.name)
        if after.disabled and not before.disabled:
            events.helpdesk_disabled(helpdesk.name, after.trouble)
        if before.trouble and not after.trouble:
            events.helpdesk_back(helpdesk.name, self._clock.now() - (before.trouble_since or 0.0))

    async def _try(self, helpdesk: Helpdesk, message: Message) -> Delivery:
        try:
            async with asyncio.timeout(self._patience):
                return Delivery(message, None, await helpdesk.deliver(message))
        except TimeoutError:
            return Delivery(message, TimeoutError(f"no answer within {self._patience:g} s"))
        except Exception as error:
            return Delivery(message, error)

    def _tell(self, found: Waiting, now: float) -> None:
        age = 0.0 if found.oldest_at is None else max(0.0, now - found.oldest_at)
        events.outbox(found.messages, age)


def _keep_reference(connection: Connection, ticket_id: int, reference: str | None) -> None:
    if reference is not None:
        other: Any = or_(tickets.c.external_ref.is_(None), tickets.c.external_ref != reference)
        connection.execute(update(tickets).where(tickets.c.id == ticket_id, other).values(external_ref=reference))


def _text(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
