"""One filter for every operator's verb: list, show, hold, release, retry, drop, export."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select

from relay.db import Database
from relay.mail import NULL_SENDER
from relay.queue.states import WAITING, Reason, State
from relay.queue.tables import PLACES, messages, recipients

WINDOW = 20_000
"""Messages that one query looks at, so that none takes long however few of them match."""


@dataclass(frozen=True, slots=True)
class Filter:
    """What a person asked for; all of it must hold. An empty filter means everything that waits.

    ``state``: None for queued and held. ``sender``: ``<>`` or empty for the null sender. Addresses and domains are
    compared without case. ``older_than``: seconds since receipt. ``ids``: numbers of messages.
    """

    domain: str | None = None
    sender: str | None = None
    recipient: str | None = None
    state: State | None = None
    reason: Reason | None = None
    older_than: float | None = None
    ids: tuple[int, ...] = ()

    def conditions(self, now: float) -> list[ColumnElement[bool]]:
        """On recipients joined with messages."""
        conditions: list[ColumnElement[bool]] = [
            recipients.c.state.in_(WAITING if self.state is None else (self.state,))
        ]
        if self.domain is not None:
            conditions.append(recipients.c.domain == self.domain.lower().rstrip("."))
        if self.sender is not None:
            sender = NULL_SENDER if self.sender == "<>" else self.sender
            conditions.append(func.lower(messages.c.sender) == sender.lower())
        if self.recipient is not None:
            conditions.append(func.lower(recipients.c.address) == self.recipient.lower())
        if self.reason is not None:
            conditions.append(recipients.c.reason == self.reason)
        if self.older_than is not None:
            conditions.append(messages.c.received_at < now - self.older_than)
        return conditions

    def windows(self, db: Database, after: int = 0) -> Iterator[tuple[int, int]]:
        """Ranges [first, end) of recipients' ids that hold everything asked for beyond message ``after``, in order."""
        if self.ids:
            for number in sorted(set(self.ids)):
                if number > after:
                    yield number * PLACES, (number + 1) * PLACES
            return
        first = (after + 1) * PLACES
        while True:
            with db.read() as connection:
                found = connection.execute(
                    select(recipients.c.id).where(recipients.c.id >= first).order_by(recipients.c.id).limit(1)
                ).scalar()
            if found is None:
                return
            first = found // PLACES * PLACES
            yield first, first + WINDOW * PLACES
            first += WINDOW * PLACES
