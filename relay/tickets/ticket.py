"""A ticket, a line of its history, and what continuity wants of it: plain frozen values. Times are POSIX seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from relay.appliances.model import GOLD_PLAN
from relay.clock import iso
from relay.tickets.states import RELAY, Condition, Event, Priority, Status


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket as it stands. Its clocks are not here: relay.tickets.sla computes them from the history.

    ``appliance_id`` is None once the appliance was removed; the relay's own has
    none either, a node's name for ``appliance``, and no ``customer``. ``derived_priority``: what the facts gave last,
    None where they ask for no ticket. ``person_decided``: a person has changed the priority or resolved it since then.
    """

    id: int
    appliance_id: int | None
    appliance: str
    customer: str
    domains: tuple[str, ...]
    condition: Condition
    priority: Priority
    status: Status
    waiting: bool
    assignee: str | None
    opened_at: float
    opened_by: str
    resolved_at: float | None
    external_ref: str | None
    outage_id: int | None
    derived_priority: Priority | None
    person_decided: bool

    @property
    def resolved(self) -> bool:
        return self.status is Status.RESOLVED

    def facts(self) -> dict[str, Any]:
        """What scripts and helpdesks may rely on, ready for JSON; times are ISO 8601."""
        return {
            "id": self.id,
            "appliance": self.appliance,
            "customer": self.customer,
            "domains": list(self.domains),
            "condition": str(self.condition),
            "priority": int(self.priority),
            "status": str(self.status),
            "waiting": self.waiting,
            "assignee": self.assignee,
            "opened_at": iso(self.opened_at),
            "resolved_at": None if self.resolved_at is None else iso(self.resolved_at),
            "external_ref": self.external_ref,
        }


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a ticket's history; only ever appended.

    ``before`` and ``after`` are what JSON calls from and to. ``visible``: meant for the customer too. ``data``:
    ``since`` and ``plan`` of opened and reopened (when the clocks start, and whose targets they have), ``clock``,
    ``cycle`` and ``percent`` of a warning, ``about`` of a comment that says what came next, ``people`` of one that says
    who couldn't be told (relay.tickets.people).
    """

    id: int
    at: float
    actor: str
    event: Event
    before: str | None = None
    after: str | None = None
    reason: str = ""
    visible: bool = False
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def by_person(self) -> bool:
        return self.actor != RELAY

    def facts(self) -> dict[str, Any]:
        """Ready for JSON; from and to of a priority are numbers."""
        priorities = self.event in (Event.OPENED, Event.REOPENED, Event.PRIORITY)
        before, after = (int(value) if priorities and value else value for value in (self.before, self.after))
        return {
            "at": iso(self.at),
            "actor": self.actor,
            "event": str(self.event),
            "from": before,
            "to": after,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the facts ask of the desk for one appliance and condition; ``appliance_id`` None: for the relay itself.

    ``priority``: None where there should be no open ticket. ``started_at``: when the condition began, or the end of
    the maintenance window; the clocks start there. ``reason``: what the history says of the change, for people.
    ``problem``: what it says of the opening, where that is not the reason. ``proof``: lines below the reason, the
    evidence that allows P3. ``keep_open_until``: don't resolve before then (relay.tickets.flapping). ``plan``: the
    support plan whose targets a ticket that is opened now has.
    """

    appliance_id: int | None
    appliance: str
    customer: str
    condition: Condition
    domains: tuple[str, ...]
    priority: Priority | None
    started_at: float
    reason: str
    problem: str = ""
    proof: tuple[str, ...] = ()
    outage_id: int | None = None
    keep_open_until: float | None = None
    plan: str = GOLD_PLAN

    @property
    def comment(self) -> str:
        return "\n".join((self.reason, *self.proof))
