"""relayctl failover: what an operator decides, and what was decided before."""

from __future__ import annotations

from collections.abc import Mapping

import click

from cli.context import Noun, Operator, json_option, limit_option
from cli.names import EITHER, appliance_of
from cli.progress import Draining, draining, handed_back, outage_facts
from cli.render import clock_time, span
from cli.table import Column, count, prose
from relay.appliances import facts, store
from relay.appliances.progress import Handback, list_handbacks
from relay.cluster.nodes import nodes
from relay.continuity import orders
from relay.continuity.orders import Ordered
from relay.continuity.store import list_history


@click.group(cls=Noun)
def failover() -> None:
    """Take over by hand, give back, and see what was done."""


@failover.command("activate")
@click.argument("name", metavar="APPLIANCE|DOMAIN", type=EITHER)
@click.option("-m", "--reason", default="", help="Why; it stands in the history.")
@json_option
@click.pass_obj
def activate(operator: Operator, name: str, reason: str) -> None:
    """Take over, whatever the hours say, once it is proven.

    While the appliance is up, this is kept for its next outage.
    """
    with operator.db.write() as connection:
        appliance = appliance_of(connection, name).name
        ordered = orders.activate(connection, appliance, operator.who, reason, operator.now())
    _say(operator, ordered, "the relay takes over as soon as every proof holds ('relayctl doctor' shows them)")


@failover.command("deactivate")
@click.argument("name", metavar="APPLIANCE|DOMAIN", type=EITHER)
@click.option("-m", "--reason", default="", help="Why; it stands in the history.")
@json_option
@click.pass_obj
def deactivate(operator: Operator, name: str, reason: str) -> None:
    """Don't take over, or no longer.

    Mail is queued all the same, and the ticket is a P1.
    """
    with operator.db.write() as connection:
        appliance = appliance_of(connection, name).name
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
@click.argument("name", metavar="[APPLIANCE|DOMAIN]", required=False, type=EITHER)
@limit_option
@json_option
@click.pass_obj
def history(operator: Operator, name: str | None, limit: int) -> None:
    """Outages, what was handed back, and each decision, newest first."""
    now = operator.now()
    with operator.db.read() as connection:
        number = None if name is None else appliance_of(connection, name).id
        names = {one.id: one.name for one in store.list_appliances(connection)}
        outages = facts.list_outages(connection, number)[:limit]
        lines = list_history(connection, number, limit=limit)
        handbacks = list_handbacks(connection, (one.id for one in outages))
        drains = draining(connection, nodes(connection), now)
    told = [(one, handbacks.get(one.id, Handback()), _drain_of(one, drains)) for one in outages]
    if operator.out.facts(
        {
            "outages": [outage_facts(one, names, handback, drain) for one, handback, drain in told],
            "history": [line.facts() for line in lines],
        }
    ):
        return
    operator.out.table(
        (
            count("OUTAGE"),
            "APPLIANCE",
            "BEGAN",
            "TAKEN OVER",
            "RETURNED",
            Column("DRAINED", spare=1),
            "ENDED",
            prose("REASON"),
        ),
        (
            (
                one.id,
                names.get(one.appliance_id),
                clock_time(one.began_at),
                _after(one, one.taken_over_at),
                _after(one, one.returned_at),
                _after(one, one.drained_at),
                _after(one, one.ended_at),
                "; ".join(filter(None, (one.reason, handed_back(one, handback, drain)))),
            )
            for one, handback, drain in told
        ),
        empty="no outages yet",
    )
    operator.out.line()
    operator.out.table(
        ("WHEN", "APPLIANCE", count("OUTAGE", spare=1), "WHO", "FROM", "TO", prose("WHY", lines=True)),
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


def _drain_of(outage: facts.Outage, drains: Mapping[int, Draining]) -> Draining | None:
    """What goes on for an outage: its appliance has come back, and isn't drained."""
    waiting = outage.returned_at is not None and outage.drained_at is None and outage.ended_at is None
    return drains.get(outage.appliance_id) if waiting else None


def _after(outage: facts.Outage, moment: float | None) -> str:
    return "" if moment is None else f"+{span(moment - outage.began_at)}"
