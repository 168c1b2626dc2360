"""The figures of a month as JSON and CSV, with keys that scripts may rely on. Durations are minutes."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from csv import DictWriter
from datetime import datetime
from typing import Any

from cli.plain import printable
from cli.render import at
from relay.tickets.month import Month
from relay.tickets.report import ClockLine, CustomerMonth, Kept, Mail, OutageLine, TicketLine
from relay.tickets.spans import Span, seconds

COLUMNS = (
    "month",
    "customer",
    "record",
    "id",
    "appliance",
    "what",
    "priority",
    "began_at",
    "ended_at",
    "minutes_without_primary",
    "minutes_covered",
    "minutes_planned",
    "messages_kept",
    "messages_returned",
    "messages_waiting",
    "acknowledge",
    "acknowledge_late_minutes",
    "respond",
    "respond_late_minutes",
    "targets_met",
    "targets_missed",
)
"""``record``: month, outage or ticket; what a record has no value for is empty."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def local(moment: float | None, month: Month) -> str:
    """A time for people, in the month's zone: 2026-11-23 17:30."""
    return "" if moment is None else datetime.fromtimestamp(moment, month.zone).strftime("%Y-%m-%d %H:%M")


def minutes(spent: float) -> float:
    return round(spent / 60, 1)


def facts(found: Sequence[CustomerMonth], month: Month, now: float) -> dict[str, Any]:
    """Everything, as JSON."""
    return {
        "month": str(month),
        "timezone": month.zone.key,
        "begins_at": at(month.begins),
        "ends_at": at(month.ends),
        "up_to": at(month.so_far(now).ends),
        "customers": [_customer(one) for one in found],
    }


def _customer(one: CustomerMonth) -> dict[str, Any]:
    return {
        "customer": one.customer,
        "appliances": list(one.appliances),
        "domains": list(one.domains),
        **_time(one.without, one.covered, one.planned),
        **_mail(one.mail),
        "acknowledged": _kept(one.acknowledged),
        "responded": _kept(one.responded),
        "breaches": one.breaches,
        "outages": [_outage(line) for line in one.outages],
        "tickets": [_ticket(line) for line in one.tickets],
    }


def _outage(line: OutageLine) -> dict[str, Any]:
    return {
        "id": line.id,
        "appliance": line.appliance,
        "began_at": at(line.began_at),
        "ended_at": at(line.ended_at),
        "cause": line.cause,
        "reason": line.reason,
        **_time(*map(seconds, (line.down, line.covered, line.planned))),
        **_mail(line.mail),
        "down": [_span(span) for span in line.down],
        "covered": [_span(span) for span in line.covered],
    }


def _ticket(line: TicketLine) -> dict[str, Any]:
    return {
        "id": line.id,
        "appliance": line.appliance,
        "condition": str(line.condition),
        "plan": line.plan,
        "priority": int(line.priority),
        "opened_at": at(line.opened_at),
        "resolved_at": at(line.resolved_at),
        "cycles": [
            {
                "priority": int(cycle.priority),
                "started_at": at(cycle.started_at),
                "acknowledge": _clock(cycle.acknowledge),
                "respond": _clock(cycle.respond),
            }
            for cycle in line.cycles
        ],
    }


def _clock(clock: ClockLine) -> dict[str, Any]:
    return {
        "target_minutes": minutes(clock.target),
        "result": str(clock.result),
        "took_minutes": None if clock.took is None else minutes(clock.took),
        "late_minutes": minutes(clock.late),
    }


def _time(without: float, covered: float, planned: float) -> dict[str, float]:
    return {
        "minutes_without_primary": minutes(without),
        "minutes_covered": minutes(covered),
        "minutes_planned": minutes(planned),
    }


def _mail(mail: Mail | None) -> dict[str, int | None]:
    return {
        "messages_kept": mail.kept if mail else None,
        "messages_returned": mail.returned if mail else None,
        "messages_waiting": mail.waiting if mail else None,
    }


def _kept(kept: Kept) -> dict[str, int]:
    return {"met": kept.met, "missed": kept.missed}


def _span(span: Span) -> dict[str, str | None]:
    return {"begins_at": at(span.begins), "ends_at": at(span.ends)}


def spreadsheet(found: Sequence[CustomerMonth]) -> str:
    """One line for each customer's month, outage, and cycle of a ticket, under one header."""
    out = io.StringIO()
    writer = DictWriter(out, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for one in found:
        for row in _lines(one):
            same = {"month": str(one.month), "customer": one.customer}
            writer.writerow({key: _cell(value) for key, value in (same | row).items()})
    return out.getvalue()


def _lines(one: CustomerMonth) -> Iterator[dict[str, Any]]:
    yield {
        "record": "month",
        **_time(one.without, one.covered, one.planned),
        **_mail(one.mail),
        "targets_met": one.acknowledged.met + one.responded.met,
        "targets_missed": one.breaches,
    }
    for line in one.outages:
        told = _outage(line)
        yield {key: told[key] for key in COLUMNS if key in told} | {"record": "outage", "what": line.cause}
    for ticket in one.tickets:
        for cycle in ticket.cycles:
            yield {
                "record": "ticket",
                "id": ticket.id,
                "appliance": ticket.appliance,
                "what": str(ticket.condition),
                "priority": int(cycle.priority),
                "began_at": at(cycle.started_at),
                "ended_at": at(ticket.resolved_at) if cycle is ticket.cycles[-1] else None,
                "acknowledge": str(cycle.acknowledge.result),
                "acknowledge_late_minutes": minutes(cycle.acknowledge.late),
                "respond": str(cycle.respond.result),
                "respond_late_minutes": minutes(cycle.respond.late),
            }


def _cell(value: Any) -> Any:
    """A spreadsheet must not take anybody's words for a formula, nor a terminal for commands."""
    if not isinstance(value, str):
        return value
    return printable(f"'{value}" if value.startswith(_FORMULA) else value)
