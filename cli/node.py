"""relayctl node: who runs on this database, and taking nodes out and in."""

from __future__ import annotations

import time

import click

from cli.context import Noun, Operator, json_option
from cli.nodes_check import clock_words, left_behind
from cli.render import at, plural, span
from cli.table import Column, count, prose, word
from relay.cluster import orders
from relay.cluster.nodes import NodeRow, NodeState, nodes
from relay.cluster.observer import Timing
from relay.errors import NotFound, Refused

LOOK = 0.5
"""Seconds between two looks at how far a node has come."""


@click.group(cls=Noun)
def node() -> None:
    """The nodes that share this database."""


@node.command("list")
@json_option
@click.pass_obj
def list_(operator: Operator) -> None:
    """Every node: whether it lives, and what it owns."""
    now = operator.now()
    with operator.db.read() as connection:
        found = nodes(connection)
    if operator.out.facts([_facts(one, now) for one in found]):
        return
    running = any(one.runs(now) for one in found)
    operator.out.table(
        (
            "NODE",
            word("STATE"),
            count("FOR"),
            Column("VERSION", spare=1),
            Column("HOSTNAME", spare=2),
            Column("LISTENS ON", spare=1),
            count("APPLIANCES"),
            Column("ALONE", spare=3),
            count("HEARD OF"),
            prose("TROUBLE"),
        ),
        (
            (
                one.name,
                one.state(now),
                span(now - one.since(now)),
                one.version,
                one.hostname,
                ", ".join(one.listeners) if one.runs(now) else "",
                one.appliances,
                ", ".join(one.duties),
                f"{span(max(0.0, one.heard_of(now)))} ago",
                _trouble(one, now, heirs=running),
            )
            for one in found
        ),
        empty="no node has run on this database yet; 'relayctl serve' runs one",
    )


def _facts(one: NodeRow, now: float) -> dict[str, object]:
    return {
        "name": one.name,
        "hostname": one.hostname,
        "version": one.version,
        "state": one.state(now),
        "since": at(one.since(now)),
        "listeners": list(one.listeners),
        "appliances": one.appliances,
        "duties": one.duties,
        "started_at": at(one.started_at),
        "heartbeat_at": at(one.heartbeat_at),
        "heartbeat_seconds": round(max(0.0, one.heard_of(now)), 1),
        "drain_asked_at": at(one.drain_at),
        "isolated": one.isolated or None,
        "clock_drift_seconds": round(one.drift, 1),
        "clock_skew_seconds": None if one.skew is None else round(one.skew, 1),
    }


def _trouble(one: NodeRow, now: float, *, heirs: bool) -> str:
    said = []
    if one.isolated and one.runs(now):
        said.append(f"may be cut off itself: {one.isolated}")
    if one.runs(now) and (wrong := clock_words(one)):
        said.append(wrong[0])
    if not one.runs(now) and one.owned:
        said.append(left_behind(heirs=heirs))
    return "; ".join(said)


@node.command()
@click.argument("name")
@click.option("--no-wait", is_flag=True, help="Don't wait until everything is handed over.")
@click.option(
    "--timeout", type=click.FloatRange(min=0), default=300.0, show_default=True, help="Seconds to wait at most."
)
@json_option
@click.pass_obj
def drain(operator: Operator, name: str, no_wait: bool, timeout: float) -> None:
    """Have a node hand everything over, and say when it is safe to stop.

    It takes no new sessions (421: senders turn to the other MX hosts), finishes what it is at, and gives all that it
    owns to the other nodes. It stays so, also after a restart, until 'relayctl node resume'.
    """
    with operator.db.write() as connection:
        orders.drain(connection, name, operator.now())
        found = nodes(connection)
        if not any(one.name != name and one.state(operator.now()) is NodeState.LIVE for one in found):
            raise Refused(
                f"no other node is live: nobody would take the place of {name}. "
                "To stop it is safe at any time, for mail that got 250 is on disk"
            )
    one = _row(operator, name)
    if one.runs(operator.now()) and not no_wait:
        one = _wait(operator, name, timeout)
    now = operator.now()
    if not one.runs(now):
        told = f"node {name} is {one.state(now)}; should it start, it owns nothing until 'relayctl node resume {name}'"
    elif one.owned:
        told = f"node {name} is asked to hand everything over; 'relayctl node list' shows how far it has come"
    else:
        told = f"node {name} is drained: it owns nothing any more, and is safe to stop"
    operator.out.done(told, name=name, state=one.state(now), appliances=one.appliances, duties=one.duties)


def _wait(operator: Operator, name: str, timeout: float) -> NodeRow:
    """Until it owns nothing, or doesn't run any more. Raises Refused where that takes too long."""
    deadline = operator.clock.monotonic() + timeout
    while (one := _row(operator, name)).owned and one.runs(operator.now()):
        if operator.clock.monotonic() > deadline:
            left = ", ".join([plural(one.appliances, "appliance"), *one.duties])
            raise Refused(f"node {name} still owns {left} after {span(timeout)}; it goes on handing over")
        time.sleep(LOOK)
    return one


@node.command()
@click.argument("name")
@json_option
@click.pass_obj
def resume(operator: Operator, name: str) -> None:
    """Have a node that was drained take part again."""
    with operator.db.write() as connection:
        changed = orders.resume(connection, name)
    told = "takes sessions again, and gets its share within a minute" if changed else "was not asked to drain"
    operator.out.done(f"node {name} {told}", name=name, changed=changed)


@node.command()
@click.argument("name")
@json_option
@click.pass_obj
def remove(operator: Operator, name: str) -> None:
    """Forget a node that was stopped or is dead.

    What it counted stays in every sum. A node that only seems dead is watched for ten seconds first.
    """
    with operator.db.read() as connection:
        seen = orders.counter(connection, name)
    if seen is not None:
        if _row(operator, name).runs(operator.now()):
            raise Refused(f"node {name} is live: 'relayctl node drain {name}', stop it, then remove it")
        time.sleep(Timing().dead_after)
    with operator.db.write() as connection:
        orders.remove(connection, name, seen)
    operator.out.done(f"node {name} is removed; what it counted stays in every sum", name=name)


def _row(operator: Operator, name: str) -> NodeRow:
    with operator.db.read() as connection:
        found = next((one for one in nodes(connection) if one.name == name), None)
    if found is None:
        raise NotFound(f"no node is named {name}")
    return found
