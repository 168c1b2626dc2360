"""What people do with tickets. Each verb works inside the caller's transaction that writes, and returns the ticket.

Saying the same thing twice is fine and changes nothing; what the ticket's state doesn't allow raises Refused with one
plain line, a number that doesn't exist NotFound. ``actor`` is the person's own name.
"""

from __future__ import annotations

from sqlalchemy import Connection

from relay.appliances import store as appliances
from relay.errors import Refused
from relay.tickets import desk, store
from relay.tickets.states import RELAY, Condition, Event, Priority, Status, leading_to
from relay.tickets.tables import tickets
from relay.tickets.ticket import Ticket

_SAYING = (Event.COMMENT, Event.OPENED, Event.REOPENED, Event.ADOPTED)
"""The lines of a history in which the relay says what is so."""


def open_ticket(
    connection: Connection,
    appliance: str,
    condition: Condition,
    priority: Priority,
    actor: str,
    reason: str,
    now: float,
) -> Ticket:
    """Open one by hand for all domains of an appliance, by its name. Refused while one is open for the condition."""
    _person(actor)
    subject = appliances.get_appliance(connection, appliance)
    last = store.latest(connection, subject.id, condition)
    if last is not None and not last.resolved:
        raise Refused(f"ticket {last.id} is open for {appliance} ({condition}) already")
    number = store.add(
        connection,
        [domain.name for domain in appliances.domains_of(connection, subject.id)],
        appliance_id=subject.id,
        appliance=subject.name,
        customer=subject.customer,
        condition=str(condition),
        priority=int(priority),
        opened_at=now,
        opened_by=actor,
        person_decided=True,
    )
    store.record(
        connection,
        number,
        Event.OPENED,
        actor,
        now,
        after=str(int(priority)),
        reason=reason,
        data={"since": now, "plan": subject.plan},
    )
    return store.get(connection, number)


def acknowledge(connection: Connection, ticket_id: int, actor: str, now: float, reason: str = "") -> Ticket:
    """Take it: ``actor`` becomes the assignee, also of a ticket that somebody else had taken."""
    ticket = _unresolved(connection, ticket_id, actor)
    if ticket.status is Status.OPEN:
        _move(connection, ticket, Event.ACKNOWLEDGED, Status.ACKNOWLEDGED, actor, reason, now, assignee=actor)
    elif ticket.assignee != actor:
        store.change(connection, ticket.id, assignee=actor)
        store.record(
            connection, ticket.id, Event.ASSIGNED, actor, now, before=ticket.assignee, after=actor, reason=reason
        )
    return store.get(connection, ticket_id)


def respond(connection: Connection, ticket_id: int, actor: str, text: str, now: float) -> Ticket:
    """Record what was written to the customer. Who answers has taken it; a second answer is a comment."""
    ticket = _unresolved(connection, ticket_id, actor)
    if ticket.status is Status.OPEN:
        ticket = acknowledge(connection, ticket_id, actor, now)
    if ticket.status is Status.RESPONDED:
        store.record(connection, ticket.id, Event.COMMENT, actor, now, reason=text, visible=True)
    else:
        _move(connection, ticket, Event.RESPONDED, Status.RESPONDED, actor, text, now, visible=True)
    return store.get(connection, ticket_id)


def wait(connection: Connection, ticket_id: int, actor: str, reason: str, now: float) -> Ticket:
    """It waits for the customer: the clocks of P2 and P3 stand still, those of P1 don't."""
    return _set_waiting(connection, ticket_id, True, actor, reason, now)


def resume(connection: Connection, ticket_id: int, actor: str, reason: str, now: float) -> Ticket:
    """It waits for the customer no longer."""
    return _set_waiting(connection, ticket_id, False, actor, reason, now)


def comment(
    connection: Connection, ticket_id: int, actor: str, text: str, now: float, *, visible: bool = False
) -> Ticket:
    """Add a comment, also to a resolved ticket, and also as the relay (which sees to it that it doesn't chatter).

    What a person writes for the customer to see is a response.
    """
    if actor != RELAY:
        _person(actor)
    ticket = store.get(connection, ticket_id)
    if visible and actor != RELAY and not ticket.resolved:
        return respond(connection, ticket_id, actor, text, now)
    store.record(connection, ticket.id, Event.COMMENT, actor, now, reason=text, visible=visible)
    return ticket


def comment_as_relay(connection: Connection, ticket_id: int, text: str, now: float) -> None:
    """A comment of the relay's, unless that is what it said last: whoever says it again hadn't heard that it was
    committed. With what it opens, reopens or adopts a ticket it says something too: a comment of before is old."""
    lines = store.histories(connection, tickets.c.id == ticket_id, _SAYING).get(ticket_id, ())
    said = [line.reason for line in lines if line.actor == RELAY and not (line.event is Event.COMMENT and line.data)]
    if said[-1:] != [text]:
        comment(connection, ticket_id, RELAY, text, now)


def set_priority(
    connection: Connection, ticket_id: int, priority: Priority, actor: str, reason: str, now: float
) -> Ticket:
    """A person's word on the priority; it stands until the facts change."""
    ticket = _unresolved(connection, ticket_id, actor)
    if ticket.priority is not priority:
        desk.set_priority(connection, ticket, priority, actor, reason, now)
        store.change(connection, ticket.id, person_decided=True)
    return store.get(connection, ticket_id)


def resolve(connection: Connection, ticket_id: int, actor: str, reason: str, now: float) -> Ticket:
    """A person's resolution; it stands until the facts change."""
    ticket = store.get(connection, ticket_id)
    _person(actor)
    if not ticket.resolved:
        store.change(connection, ticket.id, person_decided=True)
        desk.resolve(connection, ticket, actor, reason, now)
    return store.get(connection, ticket_id)


def reopen(connection: Connection, ticket_id: int, actor: str, reason: str, now: float) -> Ticket:
    """It isn't settled after all: open again with the priority that it had, and somebody has to take it anew. It is a
    person's ticket then, which the relay resolves only if it finds the trouble itself, and its end."""
    _person(actor)
    ticket = store.get(connection, ticket_id)
    if not ticket.resolved:
        return ticket
    if ticket.appliance_id is None:
        raise Refused(f"ticket {ticket_id} is about {ticket.appliance}, which is no appliance (any more)")
    last = store.latest(connection, ticket.appliance_id, ticket.condition)
    if last is not None and not last.resolved:
        raise Refused(f"ticket {last.id} is open for {ticket.appliance} ({ticket.condition}) already")
    openings = store.histories(connection, tickets.c.id == ticket_id, (Event.OPENED, Event.REOPENED))[ticket_id]
    store.change(
        connection,
        ticket.id,
        at={Status.RESOLVED},
        status=str(Status.OPEN),
        assignee=None,
        resolved_at=None,
        person_decided=True,
    )
    priority = str(int(ticket.priority))
    data = {**openings[-1].data, "since": now}
    store.record(
        connection, ticket.id, Event.REOPENED, actor, now, before=priority, after=priority, reason=reason, data=data
    )
    return store.get(connection, ticket_id)


def _set_waiting(connection: Connection, ticket_id: int, waiting: bool, actor: str, reason: str, now: float) -> Ticket:
    ticket = _unresolved(connection, ticket_id, actor)
    if ticket.waiting is not waiting:
        store.change(connection, ticket.id, waiting=waiting)
        store.record(connection, ticket.id, Event.WAITING if waiting else Event.RESUMED, actor, now, reason=reason)
    return store.get(connection, ticket_id)


def _move(
    connection: Connection,
    ticket: Ticket,
    event: Event,
    status: Status,
    actor: str,
    reason: str,
    now: float,
    *,
    visible: bool = False,
    **values: str,
) -> None:
    store.change(connection, ticket.id, at=leading_to(status), status=str(status), **values)
    store.record(
        connection,
        ticket.id,
        event,
        actor,
        now,
        before=str(ticket.status),
        after=str(status),
        reason=reason,
        visible=visible,
    )


def _unresolved(connection: Connection, ticket_id: int, actor: str) -> Ticket:
    _person(actor)
    ticket = store.get(connection, ticket_id)
    if ticket.resolved:
        raise Refused(f"ticket {ticket_id} is resolved; 'relayctl ticket reopen {ticket_id}' opens it again")
    return ticket


def _person(actor: str) -> None:
    if actor == RELAY or not actor.strip():
        raise Refused(f"{actor!r} is no person's name; say who you are")
