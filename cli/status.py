"""relayctl status: who is down, what we do about it, what waits, and which ticket is open."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import Any

import click
from sqlalchemy import Connection

from cli.context import Operator, json_option
from cli.render import clock_time, size, span
from relay.app import VERSION
from relay.appliances import facts
from relay.appliances.directory import Snapshot, load
from relay.appliances.model import Domain
from relay.cluster.nodes import NodeRow, nodes, owner_names
from relay.errors import NotFound
from relay.queue import backlog
from relay.queue.ledger import ledger
from relay.tickets.reading import Brief, most_urgent


@dataclass(frozen=True, slots=True)
class Known:
    """Everything that status shows, read in one transaction."""

    now: float
    snapshot: Snapshot
    nodes: list[NodeRow]
    owners: dict[int, str]
    tickets: dict[int, Brief]
    waiting: dict[str, tuple[int, int]]
    oldest: dict[str, float]


def read(connection: Connection, now: float) -> Known:
    return Known(
        now,
        load(connection) or Snapshot(),
        nodes(connection),
        owner_names(connection),
        most_urgent(connection),
        {row.domain: (row.queued, row.held) for row in ledger(connection)},
        backlog.oldest_waiting(connection),
    )


@click.command()
@click.argument("name", required=False, metavar="[DOMAIN|APPLIANCE]")
@json_option
@click.pass_obj
def status(operator: Operator, name: str | None) -> None:
    """Health, continuity, readiness, queue and ticket, of everything or of one."""
    with operator.db.read() as connection:
        known = read(connection, operator.now())
        outages = facts.list_outages(connection)
    domains = _matching(known.snapshot, name)
    rows = [_facts(known, domain) for domain in domains]
    node = _node(operator, known)
    if operator.out.facts({"node": node, "domains": rows}):
        return
    _head(operator, node, known)
    operator.out.table(
        ("DOMAIN", "APPLIANCE", "HEALTH", "CONTINUITY", "READY", ">QUEUED", ">HELD", ">OLDEST", "TICKET"),
        (
            (
                row["domain"],
                row["appliance"],
                row["health"],
                row["continuity"],
                _ready(row),
                row["queued"],
                row["held"],
                span(row["oldest_seconds"]),
                f"P{row['ticket']['priority']} {row['ticket']['status']} #{row['ticket']['id']}"
                if row["ticket"]
                else "",
            )
            for row in rows
        ),
        empty="no Gold domains yet; 'relayctl domain add' adds one",
    )
    if name is not None:
        for number in sorted({domain.appliance_id for domain in domains}):
            _detail(operator, known, number, outages)


def _matching(snapshot: Snapshot, name: str | None) -> list[Domain]:
    if name is None:
        return list(snapshot.domains.values())
    domain = snapshot.domains.get(name.lower().rstrip("."))
    if domain is not None:
        return [domain]
    for number, appliance in snapshot.appliances.items():
        if appliance.name == name:
            return list(snapshot.domains_of.get(number, ()))
    raise NotFound(f"no Gold domain or appliance is named {name}; 'relayctl status' shows all")


def _facts(known: Known, domain: Domain) -> dict[str, Any]:
    """One row, with the keys that scripts rely on."""
    appliance = known.snapshot.appliances[domain.appliance_id]
    health = known.snapshot.health[appliance.id]
    continuity = known.snapshot.continuity[appliance.id]
    queued, held = known.waiting.get(domain.name, (0, 0))
    oldest = known.oldest.get(domain.name)
    ticket = known.tickets.get(appliance.id)
    return {
        "domain": domain.name,
        "appliance": appliance.name,
        "customer": appliance.customer,
        "health": str(health.state),
        "health_reason": health.reason,
        "continuity": str(continuity.state),
        "ready": continuity.ready,
        "failing_proofs": list(continuity.failing_proofs),
        "queued": queued,
        "held": held,
        "oldest_seconds": None if oldest is None else max(0, round(known.now - oldest)),
        "ticket": ticket.facts() if ticket else None,
        "owner": known.owners.get(appliance.id),
    }


def _ready(row: dict[str, Any]) -> str:
    if row["ready"] is None:
        return "not proven yet"
    return "yes" if row["ready"] else f"no ({', '.join(row['failing_proofs'])})"


def _node(operator: Operator, known: Known) -> dict[str, Any]:
    """This machine's node, by its settings; ``state`` tells whether it runs."""
    name = operator.settings.node.name
    row = next((row for row in known.nodes if row.name == name), None)
    return {
        "name": name,
        "version": row.version if row else VERSION,
        "state": row.state(known.now) if row else "stopped",
        "listeners": list(row.listeners) if row and row.state(known.now) == "running" else [],
        "disk_free_bytes": shutil.disk_usage(operator.db.path.parent).free,
    }


def _head(operator: Operator, node: dict[str, Any], known: Known) -> None:
    where = f", listening on {', '.join(node['listeners'])}" if node["listeners"] else ""
    operator.out.line(
        f"node {node['name']} {node['version']}: {node['state']}{where}, {size(node['disk_free_bytes'])} free",
        "" if node["state"] == "running" else "bold red",
    )
    for row in known.nodes:
        if row.name != node["name"] and row.state(known.now) != "stopped":
            operator.out.line(f"node {row.name} {row.version}: {row.state(known.now)}")
        if row.isolated and row.state(known.now) == "running":
            operator.out.line(
                f"node {row.name} may be cut off itself, nothing is called down: {row.isolated}", "bold red"
            )
    if not any(row.state(known.now) == "running" for row in known.nodes):
        operator.out.line("no node is running: what stands below is what the last one knew", "bold red")
    operator.out.line()


def _detail(operator: Operator, known: Known, number: int, outages: list[facts.Outage]) -> None:
    appliance = known.snapshot.appliances[number]
    health, continuity = known.snapshot.health[number], known.snapshot.continuity[number]
    windows = [
        window for window in known.snapshot.windows if window.appliance_id == number and window.ends_at > known.now
    ]
    last = next((outage for outage in outages if outage.appliance_id == number), None)
    operator.out.line()
    operator.out.line(f"{appliance.name} ({appliance.customer})", "bold")
    operator.out.pairs(
        (
            ("primaries", ", ".join(map(str, appliance.primaries)) or "by MX"),
            ("health", f"{health.state} since {clock_time(health.since)}: {health.reason}"),
            ("continuity", f"{continuity.state} since {clock_time(continuity.since)}"),
            ("operator said", f"{continuity.order} ({continuity.order_by})" if continuity.order else ""),
            ("maintenance", ", ".join(f"until {clock_time(window.ends_at)}" for window in windows)),
            ("business hours", f"{appliance.business_hours} {appliance.timezone} {appliance.holidays}".strip()),
            ("last outage", _outage(last)),
            ("owner", known.owners.get(number)),
        )
    )


def _outage(outage: facts.Outage | None) -> str:
    if outage is None:
        return ""
    end = f"back after {span(outage.returned_at - outage.began_at)}" if outage.returned_at else "not back yet"
    return f"outage {outage.id} at {clock_time(outage.began_at)}, {end}: {outage.reason}"
