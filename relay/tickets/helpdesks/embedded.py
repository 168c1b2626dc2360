"""The helpdesk that is this database itself: nothing has to be carried anywhere, so it announces and is done."""

from __future__ import annotations

from collections.abc import Container, Mapping

from relay import events
from relay.tickets.helpdesks.helpdesk import Heard, Message


class Embedded:
    """Announces what happens to tickets in the log and the metrics; ``relayctl ticket`` shows them."""

    name = "embedded"
    url = ""

    async def deliver(self, message: Message) -> str | None:
        ticket, event = message.payload["ticket"], message.payload["event"]
        events.ticket(message.kind, message.ticket_id, ticket["appliance"], ticket["priority"], event["reason"])
        return None

    async def hear(self, cursor: str, tickets: Mapping[str, int], known: Container[str]) -> Heard:
        return Heard((), cursor)

    async def check(self) -> str:
        return "tickets are kept here alone: 'relayctl ticket list'"

    async def close(self) -> None:
        pass
