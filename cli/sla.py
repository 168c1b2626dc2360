"""relayctl sla: what the support plan promised in a month, and what was kept of it.

The figures are relay.tickets.report's; here they are said: as tables, JSON, CSV, or a page for the customer.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from cli import sla_rows
from cli.context import Noun, Operator, json_option
from cli.names import EITHER, appliance_of
from cli.render import plural, span
from cli.sla_page import page
from cli.sla_rows import local
from cli.table import Column, count, prose, word
from relay.continuity.past import months
from relay.errors import NotFound, Refused
from relay.tickets.month import Month
from relay.tickets.plan import Terms
from relay.tickets.report import ClockLine, CustomerMonth, Result
from relay.tickets.spans import seconds


@click.group(cls=Noun)
def sla() -> None:
    """The support plan, month by month."""


@sla.command("report")
@click.argument("name", metavar="[APPLIANCE|DOMAIN]", required=False, type=EITHER)
@click.option("--month", "wanted", metavar="YYYY-MM", help="The month (default: this one, so far).")
@click.option("--customer", metavar="NAME", help="One customer, with all appliances.")
@click.option("--csv", "as_csv", is_flag=True, help="Print it as CSV, for spreadsheets.")
@click.option(
    "--html",
    "to",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write one customer's page, to be sent or printed.",
)
@json_option
@click.pass_obj
def report(
    operator: Operator, name: str | None, wanted: str | None, customer: str | None, as_csv: bool, to: Path | None
) -> None:
    """A month: outages, mail kept and returned, targets met or missed.

    \b
    relayctl sla report --month 2026-11
    relayctl sla report --month 2026-11 --customer "Acme Ltd" --html acme-2026-11.html

    Months, days and times are those of the desk ([support] timezone).
    """
    if sum((as_csv, to is not None, operator.out.as_json)) > 1:
        raise click.UsageError("say one of --json, --csv and --html")
    now, support = operator.now(), operator.settings.support
    try:
        month = Month.at(now, support.timezone) if wanted is None else Month.parse(wanted, support.timezone)
    except ValueError as error:
        raise Refused(f"--month: {error}") from None
    if month.begins > now:
        raise Refused(f"{month.title} is yet to come")
    with operator.db.read() as connection:
        appliance = None if name is None else appliance_of(connection, name).id
        found = months(connection, month, Terms.of(support), now, customer=customer, appliance=appliance)
    if not found and customer is not None:
        if name is not None:
            raise NotFound(f"{name} is no appliance of {customer!r}")
        raise NotFound(f"no customer is named {customer!r}; 'relayctl appliance list' shows them")
    if to is not None:
        _write(operator, found, month, now, to)
    elif as_csv:
        sys.stdout.write(sla_rows.spreadsheet(found))
    elif not operator.out.facts(sla_rows.facts(found, month, now)):
        _tell(operator, found, month, now)


def _write(operator: Operator, found: Sequence[CustomerMonth], month: Month, now: float, to: Path) -> None:
    """The page is there whole or not at all."""
    if len(found) != 1:
        raise Refused(f"a page is for one customer, and there are {len(found)}: say --customer NAME or an appliance")
    part = to.with_name(f".{to.name}.part")
    part.write_text(page(found[0], now), encoding="utf-8")
    part.replace(to)
    operator.out.done(f"report of {found[0].customer} for {month} written to {to}", file=str(to))


def _tell(operator: Operator, found: Sequence[CustomerMonth], month: Month, now: float) -> None:
    so_far = f", up to {local(now, month)}" if now < month.ends else ""
    operator.out.line(f"{month.title}, times in {month.zone.key}{so_far}", "bold")
    operator.out.line()
    if len(found) == 1:
        _tell_one(operator, found[0])
        return
    loud = [one for one in found if not one.quiet]
    operator.out.table(
        (
            Column("CUSTOMER"),
            count("OUTAGES"),
            count("WITHOUT PRIMARY"),
            count("COVERED"),
            count("KEPT", spare=1),
            count("RETURNED", spare=1),
            count("TICKETS"),
            count("MET"),
            count("MISSED"),
        ),
        (
            (
                one.customer,
                len(one.outages),
                span(one.without),
                span(one.covered),
                one.mail.kept,
                one.mail.returned,
                len(one.tickets),
                one.acknowledged.met + one.responded.met,
                one.breaches,
            )
            for one in loud
        ),
        empty=_nothing(found),
    )
    if loud and len(loud) < len(found):
        operator.out.line(f"{plural(len(found) - len(loud), 'more customer')} had no outage and no ticket", "dim")


def _nothing(found: Sequence[CustomerMonth]) -> str:
    return "no outage and no ticket" if found else "no appliances yet; 'relayctl appliance add' adds one"


def _tell_one(operator: Operator, one: CustomerMonth) -> None:
    mail, targets = one.mail, one.acknowledged.met + one.responded.met + one.breaches
    operator.out.line(f"{one.customer}: {', '.join(one.appliances)}", "bold")
    operator.out.pairs(
        (
            ("without primary", f"{span(one.without)} in {plural(len(one.outages), 'outage')}" if one.outages else ""),
            ("covered", span(one.covered) if one.outages else ""),
            ("in maintenance", span(one.planned) if one.planned else ""),
            ("mail", f"{mail.kept} kept, {mail.returned} returned, {mail.waiting} waiting" if mail.kept else ""),
            ("targets", f"{targets - one.breaches} of {targets} met" if targets else ""),
        )
    )
    if one.quiet:
        operator.out.line("no outage and no ticket")
        return
    operator.out.line()
    operator.out.table(
        (
            count("OUTAGE"),
            Column("APPLIANCE", spare=2),
            "BEGAN",
            Column("ENDED", spare=3),
            count("WITHOUT"),
            count("COVERED"),
            count("KEPT", spare=1),
            count("RETURNED", spare=1),
            prose("CAUSE"),
        ),
        (
            (
                line.id,
                line.appliance,
                local(line.began_at, one.month),
                local(line.ended_at, one.month) or "not yet",
                span(seconds(line.down)),
                span(seconds(line.covered)),
                line.mail.kept if line.mail else "",
                line.mail.returned if line.mail else "",
                f"{line.cause} ({line.reason})",
            )
            for line in one.outages
        ),
        empty="no outage",
    )
    operator.out.line()
    operator.out.table(
        (
            count("TICKET"),
            Column("APPLIANCE", spare=2),
            "CONDITION",
            word("PRIO"),
            Column("FROM", spare=1),
            Column("ENDED", spare=3),
            word("ACKNOWLEDGE"),
            word("RESPOND"),
        ),
        (
            (
                line.id,
                line.appliance,
                str(line.condition),
                f"P{cycle.priority}",
                local(cycle.started_at, one.month),
                (local(line.resolved_at, one.month) or "not yet") if cycle is line.cycles[-1] else "raised",
                _clock(cycle.acknowledge),
                _clock(cycle.respond),
            )
            for line in one.tickets
            for cycle in line.cycles
        ),
        empty="no ticket",
    )


def _clock(clock: ClockLine) -> str:
    match clock.result:
        case Result.MET:
            return f"met {span(clock.took)} of {span(clock.target)}"
        case Result.LATE:
            return f"late {span(clock.late)}"
        case Result.MISSED:
            return f"missed {span(clock.late)}"
        case Result.OPEN:
            return f"open of {span(clock.target)}"
        case Result.ENDED:
            return "not needed"
