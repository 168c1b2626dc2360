"""relayctl failover: what an operator decides, and what was decided before."""

from __future__ import annotations

import click
from sqlalchemy import Connection

from cli.context import Operator, json_option
from cli.render import at, clock_time, span
from relay.appliances import facts, store
from relay.continuity import orders
from relay.continuity.orders import Ordered
from relay.continuity.store import list_history
from relay.errors import NotFound


@click.group()
def failover() -> None:
    """Take over by hand, give back, and see what was done."""


def _appliance_name(connection: Connection, name: str) -> str:
    """The appliance of that name, or the one that a domain of that name belongs to. Raises NotFound."""
    if store.find_appliance(connection, name) is not None:
        return name
    domain = store.find_domain(connection, name)
    if domain is None:
        raise NotFound(f"no appliance or Gold domain is named {name}; 'relayctl status' shows all")
    return next(one.name for one in store.list_appliances(connection) if one.id == domain.appliance_id)


@failover.command("activate")
@click.argument("name", metavar="APPLIANCE|DOMAIN")
@click.option("-m", "--reason", default="", help="Why; it stands in the history.")
@json_option
@click.pass_obj
def activate(operator: Operator, name: str, reason: str) -> None:
    """Take over whatever the hours say, once proven; while the appliance is up, this arms the next outage."""
    with operator.db.write() as connection:
        appliance = _appliance_name(connection, name)
        ordered = orders.activate(connection, appliance, operator.who, reason, operator.now())
    _say(operator, ordered, "the relay takes over as soon as every proof holds ('relayctl doctor' shows them)")


@failover.command("deactivate")
@click.argument("name", metavar="APPLIANCE|DOMAIN")
@click.option("-m", "--reason", default="", help="Why; it stands in the history.")
@json_option
@click.pass_obj
def deactivate(operator: Operator, name: str, reason: str) -> None:
    """Don't take over, or no longer; mail is queued all the same, and the ticket is a P1."""
    with operator.db.write() as connection:
        appliance = _appliance_name(connection, name)
        ordered = orders.deactivate(connection, appliance, operator.who, reason, operator.now())
    _say(operator, ordered, "the relay doesn't take over; mail is queued all the same")


def _say(operator: Operator, ordered: Ordered, effect: str) -> None:
    when = f"{ordered.appliance.name} is {ordered.health}: armed for its next outage; then " if ordered.armed else ""
    operator.out.done(
        f"{ordered.order} {ordered.appliance.name}: {when}{effect}",
        appliance=ordered.appliance.name,
        order=ordered.order,
        health=str(ordered.health),
        armed=ordered.armed,
    )


@failover.command("history")
@click.argument("name", metavar="[APPLIANCE|DOMAIN]", required=False)
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="Lines at most.")
@json_option
@click.pass_obj
def history(operator: Operator, name: str | None, limit: int) -> None:
    """Outages, and every decision in them: by the relay and by people, newest first."""
    with operator.db.read() as connection:
        number = None if name is None else store.get_appliance(connection, _appliance_name(connection, name)).id
        names = {one.id: one.name for one in store.list_appliances(connection)}
        outages = facts.list_outages(connection, number)[:limit]
        lines = list_history(connection, number, limit=limit)
    if operator.out.facts(
        {
            "outages": [
                {
                    "id": one.id,
                    "appliance": names.get(one.appliance_id),
                    "began_at": at(one.began_at),
                    "taken_over_at": at(one.taken_over_at),
                    "returned_at": at(one.returned_at),
                    "drained_at": at(one.drained_at),
                    "ended_at": at(one.ended_at),
                    "reason": one.reason,
                }
                for one in outages
            ],
            "history": [line.facts() for line in lines],
        }
    ):
        return
    operator.out.table(
        (">OUTAGE", "APPLIANCE", "BEGAN", "TAKEN OVER", "RETURNED", "DRAINED", "ENDED", "REASON"),
        (
            (
                one.id,
                names.get(one.appliance_id),
                clock_time(one.began_at),
                _after(one, one.taken_over_at),
                _after(one, one.returned_at),
                _after(one, one.drained_at),
                _after(one, one.ended_at),
                one.reason,
            )
            for one in outages
        ),
        empty="no outages yet",
    )
    operator.out.line()
    operator.out.table(
        ("WHEN", "APPLIANCE", ">OUTAGE", "WHO", "FROM", "TO", "WHY"),
        (
            (
                clock_time(line.at),
                line.appliance,
                line.outage_id,
                line.actor,
                line.before,
                line.after,
                line.reason,
            )
            for line in lines
        ),
        empty="nothing was decided yet",
    )


def _after(outage: facts.Outage, moment: float | None) -> str:
    return "" if moment is None else f"+{span(moment - outage.began_at)}"
