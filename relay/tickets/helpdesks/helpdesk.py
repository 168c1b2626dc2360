"""What the outbox asks of a helpdesk: one method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """One thing that happened to a ticket, and how the ticket stood afterwards.

    ``kind``: an Event of relay.tickets.states. ``payload``: ``{"ticket": Ticket.facts(), "event": {"id", "visible",
    …Entry.facts()}}``. ``external_ref``: the helpdesk's own name of the ticket, once it gave one. ``attempts``:
    deliveries that failed before this one.
    """

    id: int
    ticket_id: int
    kind: str
    payload: Mapping[str, Any]
    external_ref: str | None
    created_at: float
    attempts: int


class Helpdesk(Protocol):
    """Where tickets are shown to people."""

    @property
    def name(self) -> str:
        """The setting ``[helpdesk] kind``."""
        ...

    async def deliver(self, message: Message) -> str | None:
        """Tell the helpdesk; returns its name for the ticket, if it has one.

        Called in order for each ticket, for several tickets at once, and again with the same message where it isn't
        certain that it arrived: ``payload["event"]["id"]`` tells a repetition. Any exception means: later again.
        """
        ...
