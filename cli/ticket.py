"""relayctl ticket: the desk. What happened, who has it, how long is left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
from sqlalchemy import Connection

from cli import helpdesk, people
from cli.context import NUMBER, Noun, Operator, json_option
from cli.names import EITHER, appliance_of
from cli.render import clock_time, span
from cli.table import Column, count, prose, word
from relay.tickets import operators, reading
from relay.tickets.plan import Terms
from relay.tickets.reading import Reading
from relay.tickets.sla import SlaClock
from relay.tickets.states import Condition, Event, Priority
from relay.tickets.ticket import Entry, Ticket

reason_option = click.option("-m", "--reason", default="", help="Why; it stands in the history.")


@click.group(cls=Noun)
def ticket() -> None:
    """The desk's tickets: list, read, and say what you do."""


@ticket.command("list")
@click.option("--all", "everything", is_flag=True, help="Resolved ones, too.")
@json_option
@click.pass_obj
def list_(operator: Operator, everything: bool) -> None:
    """Open tickets, the most urgent first."""
    now = operator.now()
    with operator.db.read() as connection:
        found = reading.listing(connection, Terms.of(operator.settings.support), now, everything=everything)
    if operator.out.facts([one.facts() for one in found]):
        return
    operator.out.table(
        (
            count("ID"),
            word("PRIO"),
            "STATUS",
            "APPLIANCE",
            Column("CUSTOMER", spare=3),
            "CONDITION",
            count("AGE", spare=2),
            word("ACKNOWLEDGE"),
            word("RESPOND"),
            Column("WHO", spare=1),
        ),
        (
            (
                one.ticket.id,
                f"P{one.ticket.priority}",
                str(one.ticket.status) + (", waiting" if one.ticket.waiting else ""),
                one.ticket.appliance,
                one.ticket.customer,
                str(one.ticket.condition),
                span((one.ticket.resolved_at or now) - one.ticket.opened_at),
                _clock(one.present.acknowledge, one.ticket.resolved_at or now),
                _clock(one.present.respond, one.ticket.resolved_at or now),
                one.ticket.assignee,
            )
            for one in found
        ),
        empty="no open tickets",
    )


@ticket.command("show")
@click.argument("number", metavar="ID", type=NUMBER)
@json_option
@click.pass_obj
def show(operator: Operator, number: int) -> None:
    """One ticket and its whole story."""
    now = operator.now()
    with operator.db.read() as connection:
        found = reading.get(connection, number, Terms.of(operator.settings.support), now)
        history = reading.history(connection, number)
        told = helpdesk.facts(connection, operator.settings.helpdesk, number)
        untold = helpdesk.untold(connection, operator.settings.helpdesk, now, number)
        notices = people.told(connection, number)
    if operator.out.facts(
        found.facts() | {"helpdesk": told, "told": notices, "history": [entry.facts() for entry in history]}
    ):
        return
    _tell(operator, found, history, now, untold, people.told_in_words(notices))


def _tell(operator: Operator, found: Reading, history: list[Entry], now: float, untold: str, told: str) -> None:
    it = found.ticket
    whose = f"{it.appliance} ({it.customer})" if it.customer else it.appliance
    operator.out.line(f"Ticket {it.id}  P{it.priority}  {it.status}  {whose}", "bold")
    operator.out.pairs(
        (
            ("condition", str(it.condition)),
            ("domains", ", ".join(it.domains)),
            ("opened", f"{clock_time(it.opened_at)} by {it.opened_by}"),
            ("plan", found.present.plan),
            ("acknowledge", _clock(found.present.acknowledge, it.resolved_at or now)),
            ("respond", _clock(found.present.respond, it.resolved_at or now)),
            ("taken by", it.assignee),
            ("waiting", "for the customer" if it.waiting else ""),
            ("resolved", clock_time(it.resolved_at)),
            ("elsewhere", it.external_ref),
            ("helpdesk", untold),
            ("told", told),
        )
    )
    operator.out.line()
    operator.out.table(
        ("WHEN", "WHO", "WHAT", prose("WHY", lines=True)),
        ((clock_time(entry.at), entry.actor, _what(entry), entry.reason) for entry in history),
        empty="nothing has happened yet",
    )


def _what(entry: Entry) -> str:
    if entry.event is Event.PRIORITY:
        return f"P{entry.before} → P{entry.after}"
    if entry.event in (Event.OPENED, Event.REOPENED):
        return f"{entry.event} P{entry.after}"
    return str(entry.event)


def _clock(clock: SlaClock, now: float) -> str:
    """A clock for people: met (perhaps late), late by how much, or how much is left."""
    if clock.breached_at is not None:
        late = f"late {span(clock.overrun)}"
        return late if clock.met_at is None else f"{late}, met"
    if clock.met_at is not None:
        return "met"
    return "" if clock.due is None else f"in {span(clock.due - now)}"


@ticket.command("open")
@click.argument("name", metavar="APPLIANCE|DOMAIN", type=EITHER)
@click.option("--priority", type=click.IntRange(1, 3), default=1, show_default=True, help="1, 2 or 3.")
@click.option(
    "--condition",
    type=click.Choice([str(one) for one in Condition]),
    default="mailflow",
    show_default=True,
    help="What it is about.",
)
@click.option("-m", "--reason", required=True, help="What is wrong; it stands in the history.")
@json_option
@click.pass_obj
def open_(operator: Operator, name: str, priority: int, condition: str, reason: str) -> None:
    """Open one by hand.

    The relay adopts it if it finds the same trouble.
    """

    def work(connection: Connection) -> Ticket:
        appliance = appliance_of(connection, name).name
        return operators.open_ticket(
            connection, appliance, Condition(condition), Priority(priority), operator.who, reason, operator.now()
        )

    _do(operator, work, "opened")


@ticket.command("ack")
@click.argument("number", metavar="ID", type=NUMBER)
@reason_option
@json_option
@click.pass_obj
def ack(operator: Operator, number: int, reason: str) -> None:
    """Take it: you are the one who works on it."""
    _do(operator, lambda c: operators.acknowledge(c, number, operator.who, operator.now(), reason), "is yours")


@ticket.command("respond")
@click.argument("number", metavar="ID", type=NUMBER)
@click.option("-m", "--message", required=True, help="What was written to the customer.")
@json_option
@click.pass_obj
def respond(operator: Operator, number: int, message: str) -> None:
    """Record what you wrote to the customer."""
    _do(operator, lambda c: operators.respond(c, number, operator.who, message, operator.now()), "responded")


@ticket.command("wait")
@click.argument("number", metavar="ID", type=NUMBER)
@reason_option
@json_option
@click.pass_obj
def wait(operator: Operator, number: int, reason: str) -> None:
    """It waits for the customer; the clocks of P2 and P3 stand still."""
    _do(operator, lambda c: operators.wait(c, number, operator.who, reason, operator.now()), "waits for the customer")


@ticket.command("resume")
@click.argument("number", metavar="ID", type=NUMBER)
@reason_option
@json_option
@click.pass_obj
def resume(operator: Operator, number: int, reason: str) -> None:
    """The customer has answered; the clocks go on."""
    _do(operator, lambda c: operators.resume(c, number, operator.who, reason, operator.now()), "goes on")


@ticket.command("comment")
@click.argument("number", metavar="ID", type=NUMBER)
@click.option("-m", "--message", required=True, help="The comment.")
@click.option("--visible", is_flag=True, help="The customer sees it too; that is a response.")
@json_option
@click.pass_obj
def comment(operator: Operator, number: int, message: str, visible: bool) -> None:
    """Add a comment."""
    _do(
        operator,
        lambda c: operators.comment(c, number, operator.who, message, operator.now(), visible=visible),
        "has your comment",
    )


@ticket.command("priority")
@click.argument("number", metavar="ID", type=NUMBER)
@click.argument("priority", type=click.IntRange(1, 3))
@reason_option
@json_option
@click.pass_obj
def priority_(operator: Operator, number: int, priority: int, reason: str) -> None:
    """Change the priority; your word stands until the facts change."""
    _do(
        operator,
        lambda c: operators.set_priority(c, number, Priority(priority), operator.who, reason, operator.now()),
        f"is P{priority}",
    )


@ticket.command("resolve")
@click.argument("number", metavar="ID", type=NUMBER)
@reason_option
@json_option
@click.pass_obj
def resolve(operator: Operator, number: int, reason: str) -> None:
    """Resolve it; it stays so until the facts change."""
    _do(operator, lambda c: operators.resolve(c, number, operator.who, reason, operator.now()), "resolved")


@ticket.command("reopen")
@click.argument("number", metavar="ID", type=NUMBER)
@reason_option
@json_option
@click.pass_obj
def reopen(operator: Operator, number: int, reason: str) -> None:
    """Open a resolved one again; somebody has to take it anew."""
    _do(operator, lambda c: operators.reopen(c, number, operator.who, reason, operator.now()), "is open again")


def _do(operator: Operator, work: Callable[[Connection], Ticket], done: str) -> None:
    with operator.db.write() as connection:
        number = work(connection).id
        found = reading.get(connection, number, Terms.of(operator.settings.support), operator.now())
    facts: dict[str, Any] = found.facts()
    operator.out.done(f"ticket {number} (P{found.ticket.priority}, {found.ticket.appliance}) {done}", **facts)
