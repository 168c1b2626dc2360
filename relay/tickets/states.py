"""What a ticket can be, and which moves are legal.

    open ──▶ acknowledged ──▶ responded ──▶ resolved ──▶ open (reopened)
      ▲            │              │
      └────────────┴── raised ────┘            resolved may follow each of the three; ``waiting`` is a flag beside them

The moves are enforced where they are written: ``UPDATE … WHERE status IN (…)`` in relay.tickets.store.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum

RELAY = "relay"
"""The actor of whatever the relay writes itself. It stops no clock, and no person goes by this name."""


class Priority(IntEnum):
    """The support plan's; a lower number is more urgent."""

    P1 = 1
    P2 = 2
    P3 = 3


class Status(StrEnum):
    """``acknowledged``: an engineer took it. ``responded``: a person wrote to the customer."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESPONDED = "responded"
    RESOLVED = "resolved"


class Condition(StrEnum):
    """What a ticket is about; an appliance has at most one open ticket for each. All but mailflow are P3."""

    MAILFLOW = "mailflow"
    MX = "mx"
    CERTIFICATE = "certificate"
    RECIPIENTS = "recipients"
    BACKUP = "backup"
    QUOTA = "quota"
    CONTRACT = "contract"


class Event(StrEnum):
    """What happens to a ticket; the words of its history.

    ``from`` and ``to`` are priorities for opened, reopened and priority, persons for assigned, lists of domains for
    domains, and statuses for what else has them.
    """

    OPENED = "opened"
    ADOPTED = "adopted"
    ACKNOWLEDGED = "acknowledged"
    ASSIGNED = "assigned"
    RESPONDED = "responded"
    WAITING = "waiting"
    RESUMED = "resumed"
    COMMENT = "comment"
    PRIORITY = "priority"
    DOMAINS = "domains"
    WARNING = "warning"
    BREACH = "breach"
    RESOLVED = "resolved"
    REOPENED = "reopened"


MOVES: dict[Status, frozenset[Status]] = {
    Status.OPEN: frozenset({Status.ACKNOWLEDGED, Status.RESOLVED}),
    Status.ACKNOWLEDGED: frozenset({Status.RESPONDED, Status.OPEN, Status.RESOLVED}),
    Status.RESPONDED: frozenset({Status.OPEN, Status.RESOLVED}),
    Status.RESOLVED: frozenset({Status.OPEN}),
}
"""From each status to those that may follow it."""

UNRESOLVED = frozenset(Status) - {Status.RESOLVED}


def leading_to(status: Status) -> frozenset[Status]:
    """The statuses from which ``status`` may follow."""
    return frozenset(before for before, after in MOVES.items() if status in after)
