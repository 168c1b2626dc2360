"""The helpdesk that is this database itself: nothing has to be carried anywhere, so it announces and is done."""

from __future__ import annotations

from relay import events
from relay.tickets.helpdesks.helpdesk import Message


class Embedded:
    """Announces what happens to tickets in the log and the metrics; ``relayctl ticket`` shows them."""

    name = "embedded"

    async def deliver(self, message: Message) -> str | None:
        ticket, event = message.payload["ticket"], message.payload["event"]
        events.ticket(message.kind, message.ticket_id, ticket["appliance"], ticket["priority"], event["reason"])
        return None
