"""The desk: makes the ticket of an appliance and a condition match what the facts ask for.

continuity alone calls this, inside a transaction that writes, whenever its facts change and once at start; the same
facts twice write nothing. A person's word goes before the relay's: a change of priority or a resolution by a person
stands until the facts ask for something else than they did when the person spoke. What people do themselves is in
relay.tickets.operators.

It doesn't decide: which priority the facts call for, and whether an appliance flaps (relay.tickets.flapping), is
continuity's to say.
"""

from __future__ import annotations

from sqlalchemy import Connection

from relay.tickets import store
from relay.tickets.states import RELAY, Condition, Event, Priority, Status, leading_to
from relay.tickets.ticket import Ticket, Wanted

REOPEN_WITHIN = 3600.0
"""Seconds after a resolution within which the same trouble reopens the ticket instead of opening a second one."""


def reconcile(connection: Connection, wanted: Wanted, now: float) -> Ticket | None:
    """Open, adopt, reopen, change or resolve, as ``wanted`` says; returns the ticket it is about, if there is one."""
    last = _latest(connection, wanted)
    if last is None or last.resolved:
        if wanted.priority is None:
            if last is not None and last.person_decided:
                _follow(connection, last, wanted)
            return None
        if last is None:
            return _open(connection, wanted, wanted.priority, wanted.started_at, now)
        if _stands(last, wanted):
            return last
        return _open_again(connection, last, wanted, wanted.priority, now)
    if wanted.priority is None:
        return _close(connection, last, wanted, now)
    return _keep(connection, last, wanted, wanted.priority, now)


def set_priority(
    connection: Connection, ticket: Ticket, priority: Priority, actor: str, reason: str, now: float
) -> None:
    """Write a change of priority. Raising it clears the acknowledgment: somebody has to take it anew."""
    if priority < ticket.priority:
        store.change(connection, ticket.id, priority=int(priority), status=str(Status.OPEN), assignee=None)
    else:
        store.change(connection, ticket.id, priority=int(priority))
    store.record(
        connection,
        ticket.id,
        Event.PRIORITY,
        actor,
        now,
        before=str(int(ticket.priority)),
        after=str(int(priority)),
        reason=reason,
        visible=True,
    )


def resolve(connection: Connection, ticket: Ticket, actor: str, reason: str, now: float) -> None:
    """Write the resolution."""
    store.change(
        connection,
        ticket.id,
        at=leading_to(Status.RESOLVED),
        status=str(Status.RESOLVED),
        waiting=False,
        resolved_at=now,
    )
    store.record(
        connection,
        ticket.id,
        Event.RESOLVED,
        actor,
        now,
        before=str(ticket.status),
        after=str(Status.RESOLVED),
        reason=reason,
        visible=True,
    )


def _latest(connection: Connection, wanted: Wanted) -> Ticket | None:
    if wanted.appliance_id is None:
        return store.latest_of_ours(connection, wanted.appliance, wanted.condition)
    return store.latest(connection, wanted.appliance_id, wanted.condition)


def _stands(ticket: Ticket, wanted: Wanted) -> bool:
    """Whether a person's decision still holds: the facts are the same as when it was made, in the same outage."""
    same_outage = None in (ticket.outage_id, wanted.outage_id) or ticket.outage_id == wanted.outage_id
    return ticket.person_decided and ticket.derived_priority == wanted.priority and same_outage


def _first_priority(wanted: Wanted, priority: Priority) -> Priority:
    """An outage opens as P1 always, and is then lowered with the proof; a P2 delay and all else open as they are."""
    return Priority.P1 if wanted.condition is Condition.MAILFLOW and priority is Priority.P3 else priority


def _open(connection: Connection, wanted: Wanted, priority: Priority, since: float, now: float) -> Ticket:
    first = _first_priority(wanted, priority)
    number = store.add(
        connection,
        wanted.domains,
        appliance_id=wanted.appliance_id,
        appliance=wanted.appliance,
        customer=wanted.customer,
        condition=str(wanted.condition),
        priority=int(first),
        opened_at=now,
        opened_by=RELAY,
        outage_id=wanted.outage_id,
        derived_priority=int(priority),
        person_decided=False,
    )
    store.record(
        connection,
        number,
        Event.OPENED,
        RELAY,
        now,
        after=str(int(first)),
        reason=wanted.problem or wanted.comment,
        visible=True,
        data={"since": since, "plan": wanted.plan},
    )
    return _settle(connection, number, wanted, priority, now)


def _open_again(connection: Connection, last: Ticket, wanted: Wanted, priority: Priority, now: float) -> Ticket:
    """Reopen the last ticket where it was resolved less than an hour before, else open another.

    The clocks start with the new trouble; where it is older than the resolution (a person resolved it, and the facts
    changed later), they start now.
    """
    resolved_at = last.resolved_at or 0.0
    since = wanted.started_at if wanted.started_at > resolved_at else now
    if since - resolved_at >= REOPEN_WITHIN:
        return _open(connection, wanted, priority, since, now)
    first = _first_priority(wanted, priority)
    store.change(
        connection,
        last.id,
        at={Status.RESOLVED},
        status=str(Status.OPEN),
        priority=int(first),
        assignee=None,
        resolved_at=None,
    )
    store.record(
        connection,
        last.id,
        Event.REOPENED,
        RELAY,
        now,
        before=str(int(last.priority)),
        after=str(int(first)),
        reason=wanted.problem or wanted.comment,
        visible=True,
        data={"since": since, "plan": wanted.plan},
    )
    return _settle(connection, last.id, wanted, priority, now)


def _keep(connection: Connection, ticket: Ticket, wanted: Wanted, priority: Priority, now: float) -> Ticket:
    if ticket.derived_priority is None:  # a person opened it
        store.record(connection, ticket.id, Event.ADOPTED, RELAY, now, reason=wanted.problem or wanted.comment)
    elif ticket.derived_priority is not priority and ticket.priority is priority and wanted.comment:
        # A person had given it this priority before the facts did; the evidence belongs into it all the same.
        store.record(connection, ticket.id, Event.COMMENT, RELAY, now, reason=wanted.comment)
    return _settle(connection, ticket.id, wanted, ticket.priority if _stands(ticket, wanted) else priority, now)


def _close(connection: Connection, ticket: Ticket, wanted: Wanted, now: float) -> Ticket:
    if ticket.derived_priority is None:  # a person's, about something that the relay doesn't see
        return ticket
    if wanted.keep_open_until is not None and now < wanted.keep_open_until:
        return ticket
    resolve(connection, ticket, RELAY, wanted.comment, now)
    _follow(connection, ticket, wanted)
    return store.get(connection, ticket.id)


def _settle(connection: Connection, ticket_id: int, wanted: Wanted, priority: Priority, now: float) -> Ticket:
    """Bring an open ticket to ``priority`` and to the domains and facts that are wanted."""
    ticket = store.get(connection, ticket_id)
    if ticket.priority is not priority:
        set_priority(connection, ticket, priority, RELAY, wanted.comment, now)
    domains = tuple(sorted(set(wanted.domains)))
    if ticket.domains != domains:
        store.set_domains(connection, ticket.id, domains)
        store.record(
            connection,
            ticket.id,
            Event.DOMAINS,
            RELAY,
            now,
            before=", ".join(ticket.domains),
            after=", ".join(domains),
        )
    if not _stands(ticket, wanted):
        _follow(connection, ticket, wanted)
    return store.get(connection, ticket.id)


def _follow(connection: Connection, ticket: Ticket, wanted: Wanted) -> None:
    """Note what the facts ask for now; from here on they rule again."""
    derived = None if wanted.priority is None else int(wanted.priority)
    outage = ticket.outage_id if wanted.outage_id is None else wanted.outage_id
    if (ticket.derived_priority, ticket.outage_id, ticket.person_decided) != (derived, outage, False):
        store.change(
            connection,
            ticket.id,
            at=Status,
            derived_priority=derived,
            outage_id=outage,
            person_decided=False,
        )
