"""What happened, for the report of a month: read from every room that knows a part of it. Reads only.

The figures are made of these rows by relay.tickets.report, which knows no database.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, or_, select

from relay.appliances import facts, store
from relay.appliances.facts import Outage, Window
from relay.appliances.model import Appliance
from relay.continuity.tables import failover_history
from relay.queue.ledger import Ledger, by_outage
from relay.tickets import store as ticket_store
from relay.tickets.month import Month
from relay.tickets.past_hours import held
from relay.tickets.plan import Terms
from relay.tickets.report import CustomerMonth, Mail, PastOutage, PastTicket, Subject, customer_month
from relay.tickets.sla import CLOCK_EVENTS
from relay.tickets.states import RELAY
from relay.tickets.tables import tickets


@dataclass(frozen=True, slots=True)
class _Rows:
    appliances: list[Appliance]
    domains: Mapping[int, list[str]]
    outages: Mapping[int, list[Outage]]
    changes: Mapping[int, list[tuple[float, str]]]
    ledger: Mapping[int, Ledger]
    windows: list[Window]
    tickets: list[PastTicket]


def months(
    connection: Connection,
    month: Month,
    terms: Terms,
    now: float,
    *,
    customer: str | None = None,
    appliance: int | None = None,
) -> list[CustomerMonth]:
    """Every customer's month, by name; or that of one, or of one appliance alone."""
    rows = _read(connection, month, now)
    terms = held(connection, terms, now)
    subjects: dict[str, list[Subject]] = {}
    customers: dict[int, str] = {}
    for one in rows.appliances:
        if customer in (None, one.customer) and appliance in (None, one.id):
            customers[one.id] = one.customer
            subjects.setdefault(one.customer, []).append(_subject(rows, one))
    told: dict[str, list[PastTicket]] = {}
    for past in rows.tickets:
        whose = customers.get(past.ticket.appliance_id or 0)
        if past.ticket.appliance_id is None and appliance is None:
            whose = past.ticket.customer  # its appliance is gone: the name that it had then is all there is
        if whose in subjects:
            told.setdefault(whose, []).append(past)
    return [
        customer_month(name, of_customer, told.get(name, ()), month, terms, now)
        for name, of_customer in sorted(subjects.items())
    ]


def _subject(rows: _Rows, appliance: Appliance) -> Subject:
    return Subject(
        appliance,
        tuple(rows.domains.get(appliance.id, ())),
        tuple(
            PastOutage(outage, tuple(rows.changes.get(outage.id, ())), _mail(rows.ledger.get(outage.id)))
            for outage in rows.outages.get(appliance.id, ())
        ),
        tuple(window for window in rows.windows if window.appliance_id == appliance.id),
    )


def _mail(ledger: Ledger | None) -> Mail:
    if ledger is None:
        return Mail()
    return Mail(ledger.accepted, ledger.delivered, ledger.queued + ledger.held)


def _read(connection: Connection, month: Month, now: float) -> _Rows:
    domains: dict[int, list[str]] = {}
    for domain in store.list_domains(connection):
        domains.setdefault(domain.appliance_id, []).append(domain.name)
    outages: dict[int, list[Outage]] = {}
    changes: dict[int, list[tuple[float, str]]] = {}
    touching = [
        outage
        for outage in facts.list_outages(connection)
        if outage.began_at < month.ends and (outage.ended_at is None or outage.ended_at >= month.begins)
    ]
    for outage in reversed(touching):
        outages.setdefault(outage.appliance_id, []).append(outage)
        changes[outage.id] = []
    earliest = min((outage.began_at for outage in touching), default=now)
    query = (
        select(failover_history.c.outage_id, failover_history.c.at, failover_history.c.after)
        .where(
            failover_history.c.at >= earliest,
            failover_history.c.outage_id.is_not(None),
            failover_history.c.actor == RELAY,
        )
        .order_by(failover_history.c.id)
    )
    for number, at, after in connection.execute(query):
        if number in changes:
            changes[number].append((at, after))
    open_then = or_(tickets.c.resolved_at.is_(None), tickets.c.resolved_at >= month.begins)
    which = (tickets.c.opened_at < month.ends) & open_then
    histories = ticket_store.histories(connection, which, CLOCK_EVENTS)
    found = sorted(ticket_store.find_all(connection, which), key=lambda ticket: (ticket.opened_at, ticket.id))
    return _Rows(
        store.list_appliances(connection),
        domains,
        outages,
        changes,
        by_outage(connection, list(changes)),
        facts.list_windows(connection, ending_after=month.begins),
        [PastTicket(ticket, histories.get(ticket.id, [])) for ticket in found],
    )
