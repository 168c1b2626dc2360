"""relayctl node: who runs on this database."""

from __future__ import annotations

from collections import Counter

import click

from cli.context import Noun, Operator, json_option
from cli.render import at, clock_time, span
from cli.table import Column, count, word
from relay.cluster.nodes import nodes, owner_names


@click.group(cls=Noun)
def node() -> None:
    """The nodes that share this database."""


@node.command("list")
@json_option
@click.pass_obj
def list_(operator: Operator) -> None:
    """Every node, whether it runs, and how many appliances it owns."""
    now = operator.now()
    with operator.db.read() as connection:
        found = nodes(connection)
        # Number 0 is the mail for our own postmaster, which is no customer's appliance.
        owners = Counter(name for number, name in owner_names(connection).items() if number)
    rows = [
        {
            "name": one.name,
            "hostname": one.hostname,
            "version": one.version,
            "state": one.state(now),
            "listeners": list(one.listeners),
            "appliances": owners[one.name],
            "started_at": at(one.started_at),
            "heartbeat_at": at(one.heartbeat_at),
        }
        for one in found
    ]
    if operator.out.facts(rows):
        return
    operator.out.table(
        (
            "NODE",
            word("STATE"),
            Column("VERSION", spare=1),
            "LISTENS ON",
            count("APPLIANCES"),
            Column("STARTED", spare=2),
            count("LAST HEARD OF"),
        ),
        (
            (
                one.name,
                one.state(now),
                one.version,
                ", ".join(one.listeners),
                owners[one.name],
                clock_time(one.started_at),
                f"{span(now - one.heartbeat_at)} ago",
            )
            for one in found
        ),
        empty="no node has run on this database yet; 'relayctl serve' runs one",
    )
