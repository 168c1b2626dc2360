"""Tickets as people and scripts read them: with their clocks, computed now from the history.

Reads only. A list of thousands of open tickets takes four queries and a few microseconds a clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, select, true

from relay.clock import iso
from relay.tickets import past_hours, sla, store
from relay.tickets.plan import Terms
from relay.tickets.sla import Cycle
from relay.tickets.states import Condition, Priority, Status
from relay.tickets.tables import tickets
from relay.tickets.ticket import Entry, Ticket


@dataclass(frozen=True, slots=True)
class Reading:
    """A ticket and its SLA cycles, oldest first, at the moment it was read."""

    ticket: Ticket
    cycles: tuple[Cycle, ...]

    @property
    def present(self) -> Cycle:
        """The cycle that runs, or ran last."""
        return self.cycles[-1]

    def facts(self) -> dict[str, Any]:
        """The keys that scripts may rely on, ready for JSON."""
        facts = self.ticket.facts()
        resolved_at, external_ref = facts.pop("resolved_at"), facts.pop("external_ref")
        return {
            **facts,
            "acknowledge_due": _iso(self.present.acknowledge.due),
            "respond_due": _iso(self.present.respond.due),
            "resolved_at": resolved_at,
            "external_ref": external_ref,
            "plan": self.present.plan,
        }


@dataclass(frozen=True, slots=True)
class Brief:
    """What ``status`` says of a ticket."""

    id: int
    priority: Priority
    status: Status
    condition: Condition

    def facts(self) -> dict[str, Any]:
        return {"id": self.id, "priority": int(self.priority), "status": str(self.status)}


def get(connection: Connection, ticket_id: int, terms: Terms, now: float) -> Reading:
    """Raises NotFound."""
    store.get(connection, ticket_id)
    return _read(connection, tickets.c.id == ticket_id, terms, now)[0]


def listing(connection: Connection, terms: Terms, now: float, *, everything: bool = False) -> list[Reading]:
    """The open tickets, the most urgent first, then the oldest; ``everything``: the resolved ones too."""
    return _read(connection, true() if everything else store.OPEN, terms, now)


def history(connection: Connection, ticket_id: int) -> list[Entry]:
    """Everything that happened to a ticket, oldest first. Raises NotFound."""
    store.get(connection, ticket_id)
    return store.histories(connection, tickets.c.id == ticket_id).get(ticket_id, [])


def most_urgent(connection: Connection) -> dict[int, Brief]:
    """For each appliance that has open tickets, by its id: the most urgent one, of equals the oldest."""
    query = (
        select(tickets.c.appliance_id, tickets.c.id, tickets.c.priority, tickets.c.status, tickets.c.condition)
        .where(store.OPEN, tickets.c.appliance_id.is_not(None))
        .order_by(tickets.c.priority.desc(), tickets.c.id.desc())
    )
    return {
        row.appliance_id: Brief(row.id, Priority(row.priority), Status(row.status), Condition(row.condition))
        for row in connection.execute(query)
    }


def _read(connection: Connection, which: ColumnElement[bool], terms: Terms, now: float) -> list[Reading]:
    found = store.find_all(connection, which)
    lines = store.histories(connection, which, sla.CLOCK_EVENTS)
    terms = past_hours.held(connection, terms, now)
    return [Reading(ticket, sla.cycles(lines[ticket.id], terms, now)) for ticket in found]


def _iso(at: float | None) -> str | None:
    return None if at is None else iso(at)
