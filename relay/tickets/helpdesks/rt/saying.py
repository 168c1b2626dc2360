"""How a message reads in RT: its words, and the status and owner that follow from it. Pure."""

from __future__ import annotations

from relay.tickets.helpdesks.helpdesk import Message
from relay.tickets.helpdesks.rt.words import NOBODY
from relay.tickets.states import RELAY

STATUSES = {
    "reopened": "new",
    "acknowledged": "open",
    "assigned": "open",
    "responded": "open",
    "waiting": "stalled",
    "resumed": "open",
    "resolved": "resolved",
}
"""RT's status after what happened; the rest leaves it as people left it there."""


def taken_anew(message: Message) -> bool:
    """Whether somebody has to take it again: it was raised, or opened again."""
    event = message.payload["event"]
    return message.kind == "reopened" or (message.kind == "priority" and event["to"] < event["from"])


def status(message: Message) -> str | None:
    """What it should be in RT now; None: as it is, for nothing has happened or it happened there."""
    if message.heard:
        return None
    return "new" if taken_anew(message) else STATUSES.get(message.kind)


def headline(message: Message) -> str:
    """What happened, in a few words."""
    about, event = message.payload["ticket"], message.payload["event"]
    if message.kind in ("opened", "reopened"):
        return f"P{about['priority']} {about['condition']} {message.kind}"
    if message.kind == "priority":
        return f"P{event['from']} → P{event['to']}"
    return f"{message.kind}" if event["actor"] == RELAY else f"{message.kind} by {event['actor']}"


def text(message: Message) -> str:
    about, event = message.payload["ticket"], message.payload["event"]
    who = "the relay" if event["actor"] == RELAY else event["actor"]
    lines = [
        event["reason"] or headline(message),
        "",
        f"{event['at']}, {who}: {headline(message)}; ticket {about['id']} of the relay, "
        f"{about['appliance']} ({about['customer']}): {', '.join(about['domains'])}",
    ]
    return "\n".join(lines)


def mark(message: Message) -> str:
    """What tells this message from all others. Without a '[': RT takes a query that has one for JSON."""
    return f"(relay {message.key}:)"


def owner(message: Message) -> str | None:
    """Whose it should be in RT now, where that changes and didn't change there."""
    if message.heard:
        return None
    if message.kind in ("acknowledged", "assigned"):
        return str(message.payload["ticket"]["assignee"])
    return NOBODY if taken_anew(message) else None
