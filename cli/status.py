"""relayctl status: who is down, what we do about it, what waits, and which ticket is open.

For a person the most urgent stands first, with the reason; of many domains those that are quiet are only counted.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click
from sqlalchemy import Connection

from cli import refusals
from cli.context import Operator, json_option
from cli.names import EITHER
from cli.progress import Draining, deadline, draining, expiry_detail, handed_back, worth_saying
from cli.render import at, clock_time, plural, size, span
from cli.table import Column, count, prose, word
from cli.version import version
from relay.appliances import facts
from relay.appliances.directory import Snapshot, load
from relay.appliances.facts import Health
from relay.appliances.model import Domain
from relay.appliances.progress import Handback, list_handbacks
from relay.cluster.nodes import NodeRow, nodes, owner_names
from relay.continuity.store import proofs_of
from relay.edge.counts import refused
from relay.errors import NotFound
from relay.mail import domain_of
from relay.queue import backlog
from relay.queue.cases import quarantined
from relay.tickets.reading import Brief, most_urgent

FEW = 40
"""Domains that are listed in any case; of more, the quiet ones are only counted."""
WORST = 3
"""Reasons for quarantine that are shown."""
COLUMNS = (
    "DOMAIN",
    Column("APPLIANCE", spare=3),
    word("HEALTH"),
    word("CONTINUITY"),
    word("READY", spare=2),
    count("QUEUED"),
    count("HELD"),
    count("OLDEST", spare=1),
    word("TICKET"),
    prose("WHY"),
)
_BY_URGENCY = {"down": 0, "delayed": 1, "unknown": 2, "up": 3}


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
    returns: dict[int, float]
    drains: dict[int, Draining]
    findings: dict[int, list[facts.Finding]]
    windows: dict[int, facts.Window]
    """Maintenance that is under way."""
    refused: dict[str, dict[str, int]]
    """In the last 24 hours, by domain and reason."""


def read(connection: Connection, now: float) -> Known:
    snapshot = load(connection) or Snapshot()
    findings: dict[int, list[facts.Finding]] = {}
    for finding in facts.list_findings(connection):
        findings.setdefault(finding.appliance_id, []).append(finding)
    found = nodes(connection)
    return Known(
        now,
        snapshot,
        found,
        owner_names(connection),
        most_urgent(connection),
        backlog.counts(connection),
        backlog.oldest_waiting(connection),
        backlog.last_returns(connection),
        draining(connection, found, now),
        findings,
        {window.appliance_id: window for window in snapshot.windows if window.starts_at <= now < window.ends_at},
        refused(connection, now),
    )


@click.command()
@click.argument("name", required=False, metavar="[DOMAIN|APPLIANCE]", type=EITHER)
@click.option("--all", "everything", is_flag=True, help="List quiet domains too, however many there are.")
@json_option
@click.pass_obj
def status(operator: Operator, name: str | None, everything: bool) -> None:
    """Health, continuity, readiness, queue and ticket, of everything or of one."""
    with operator.db.read() as connection:
        known = read(connection, operator.now())
    domains = _matching(known.snapshot, name)
    rows = [_facts(known, domain) for domain in domains]
    node = _node(operator, known)
    nameless = known.refused.get("", {})
    if operator.out.facts({"node": node, "domains": rows, "refused": refusals.facts(nameless)}):
        return
    _head(operator, node, known)
    if nameless and name is None:
        operator.out.line(f"refused in the last 24 hours, for no domain of ours: {refusals.line(nameless)}")
    if len(rows) > 1:
        operator.out.line(_summary(rows))
    operator.out.line()
    shown = rows if name or everything or len(rows) <= FEW else [row for row in rows if not _quiet(row)]
    operator.out.table(COLUMNS, _lines(known, shown), empty=_nothing(rows))
    if shown and len(shown) < len(rows):
        operator.out.line(f"{plural(len(rows) - len(shown), 'more domain')} without trouble; --all lists them", "dim")
    if name is not None:
        for number in sorted({domain.appliance_id for domain in domains}):
            _detail(operator, known, number, [domain.name for domain in domains if domain.appliance_id == number])


def _matching(snapshot: Snapshot, name: str | None) -> list[Domain]:
    if name is None:
        return list(snapshot.domains.values())
    domain = snapshot.domains.get(domain_of(f"@{name}"))
    if domain is not None:
        return [domain]
    for number, appliance in snapshot.appliances.items():
        if appliance.name == name:
            return list(snapshot.domains_of.get(number, ()))
    raise NotFound(f"no Gold domain or appliance is named {name}; 'relayctl status --all' shows all")


def _facts(known: Known, domain: Domain) -> dict[str, Any]:
    """One row, with the keys that scripts rely on."""
    appliance = known.snapshot.appliances[domain.appliance_id]
    health = known.snapshot.health[appliance.id]
    continuity = known.snapshot.continuity[appliance.id]
    queued, held = known.waiting.get(domain.name, (0, 0))
    oldest = known.oldest.get(domain.name)
    drain = known.drains.get(appliance.id)
    ticket = known.tickets.get(appliance.id)
    window = known.windows.get(appliance.id)
    return {
        "domain": domain.name,
        "appliance": appliance.name,
        "customer": appliance.customer,
        "health": str(health.state),
        "health_reason": health.reason,
        "health_seconds": max(0, round(known.now - health.since)),
        "continuity": str(continuity.state),
        "ready": continuity.ready,
        "failing_proofs": list(continuity.failing_proofs),
        "queued": queued,
        "held": held,
        "oldest_seconds": None if oldest is None else max(0, round(known.now - oldest)),
        "first_expiry_at": at(_expires_at(known, domain)),
        "drain": drain.facts() if drain else None,
        "ticket": ticket.facts() if ticket else None,
        "owner": known.owners.get(appliance.id),
        "order": continuity.order,
        "maintenance_until": at(window.ends_at) if window else None,
        "findings": [
            {"domain": finding.domain, "condition": finding.condition, "evidence": finding.evidence}
            for finding in known.findings.get(appliance.id, ())
            if finding.domain in ("", domain.name)
        ],
        "refused": refusals.facts(known.refused.get(domain.name, {})),
    }


def _expires_at(known: Known, domain: Domain) -> float | None:
    """When the first of a domain's queued mail would expire, as lifetimes are now."""
    oldest = known.oldest.get(domain.name)
    if oldest is None:
        return None
    return backlog.expiry(oldest, domain.lifetime, known.returns.get(domain.appliance_id))


def _quiet(row: dict[str, Any]) -> bool:
    return (
        row["health"] == Health.UP
        and row["ready"] is not False
        and not row["findings"]
        and row["ticket"] is None
        and not row["queued"]
        and not row["held"]
    )


def _lines(known: Known, rows: Sequence[dict[str, Any]]) -> Iterator[tuple[Any, ...]]:
    """The table, the most urgent first; why, once for each appliance."""
    told = set()
    for row in sorted(rows, key=_urgency):
        ticket = row["ticket"]
        yield (
            row["domain"],
            row["appliance"],
            row["health"],
            row["continuity"],
            row["ready"],
            row["queued"],
            row["held"],
            span(row["oldest_seconds"]),
            f"P{ticket['priority']} {ticket['status']} #{ticket['id']}" if ticket else "",
            _why(known, row, first=row["appliance"] not in told),
        )
        told.add(row["appliance"])


def _urgency(row: dict[str, Any]) -> tuple[Any, ...]:
    priority = row["ticket"]["priority"] if row["ticket"] else 9
    return priority, _BY_URGENCY[row["health"]], _quiet(row), row["appliance"], row["domain"]


def _why(known: Known, row: dict[str, Any], *, first: bool) -> str:
    """What is behind the row; what concerns the whole appliance only at its first domain."""
    reasons = []
    domain = known.snapshot.domains[row["domain"]]
    drain, expires_at = known.drains.get(domain.appliance_id), _expires_at(known, domain)
    if first and row["health"] != Health.UP:
        reasons.append(f"{row['health']} for {span(row['health_seconds'])}: {row['health_reason']}")
    if first and drain is not None:
        reasons.append(drain.told())
    if worth_saying(expires_at, known.now, drain, up=row["health"] == Health.UP):
        reasons.append(deadline(expires_at, known.now))
    if first and row["ready"] is False:
        reasons.append(f"not proven: {', '.join(row['failing_proofs'])}")
    if first and row["maintenance_until"]:
        reasons.append(f"maintenance until {row['maintenance_until']}")
    if first and row["order"]:
        reasons.append(f"an operator said {row['order']}")
    reasons += [
        finding["evidence"]
        for finding in row["findings"]
        if (first or finding["domain"]) and finding["condition"] not in row["failing_proofs"]
    ]
    return "; ".join(reasons)


def _summary(rows: Sequence[dict[str, Any]]) -> str:
    health = Counter(row["health"] for row in rows)
    waiting = f"{sum(row['queued'] for row in rows)} queued, {sum(row['held'] for row in rows)} held"
    tickets = {row["ticket"]["id"]: row["ticket"]["priority"] for row in rows if row["ticket"]}
    urgent = "".join(f", {many} × P{priority}" for priority, many in sorted(Counter(tickets.values()).items()))
    states = ", ".join(f"{health[one]} {one}" for one in _BY_URGENCY if health[one])
    return f"{plural(len(rows), 'domain')}: {states}; {waiting}; {urgent[2:] or 'no open ticket'}"


def _nothing(rows: Sequence[dict[str, Any]]) -> str:
    if not rows:
        return "no Gold domains yet; 'relayctl domain add' adds one"
    return f"all {len(rows)} domains are up and quiet; --all lists them"


def _node(operator: Operator, known: Known) -> dict[str, Any]:
    """This machine's node, by its settings; ``state`` tells whether it runs."""
    name = operator.settings.node.name
    row = next((row for row in known.nodes if row.name == name), None)
    return {
        "name": name,
        "version": row.version if row else version(),
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


def _detail(operator: Operator, known: Known, number: int, names: Sequence[str]) -> None:
    """What is known of an appliance; ``names``: the domains that were asked for."""
    appliance = known.snapshot.appliances[number]
    health, continuity = known.snapshot.health[number], known.snapshot.continuity[number]
    windows = [
        window for window in known.snapshot.windows if window.appliance_id == number and window.ends_at > known.now
    ]
    with operator.db.read() as connection:
        last = next(iter(facts.list_outages(connection, number)), None)
        handbacks = list_handbacks(connection, (last.id,) if last else ())
        unreported = quarantined(connection, number, WORST)
        failing = [proof for proof in proofs_of(connection, number) if proof.name in continuity.failing_proofs]
    drain = known.drains.get(number)
    operator.out.line()
    operator.out.line(f"{appliance.name} ({appliance.customer})", "bold")
    operator.out.pairs(
        (
            ("primaries", ", ".join(map(str, appliance.primaries)) or "by MX"),
            ("health", f"{health.state} since {clock_time(health.since)}: {health.reason}"),
            ("continuity", f"{continuity.state} since {clock_time(continuity.since)}"),
            ("not proven", "\n".join(map(str, failing))),
            ("findings", "\n".join(finding.evidence for finding in known.findings.get(number, ()))),
            ("quarantined", "\n".join(f"{plural(many, 'recipient')}: {evidence}" for evidence, many in unreported)),
            ("operator said", f"{continuity.order} ({continuity.order_by})" if continuity.order else ""),
            ("maintenance", "\n".join(map(_window, windows))),
            ("business hours", f"{appliance.business_hours} {appliance.timezone} {appliance.holidays}".strip()),
            ("drain", drain.told() if drain else ""),
            ("first expiry", _expiry(known, names)),
            ("refused in 24 h", _refusals(known, names)),
            ("last outage", _outage(last, handbacks)),
            ("owner", known.owners.get(number)),
        )
    )


def _refusals(known: Known, names: Sequence[str]) -> str:
    """Why mail for these domains was refused, counted in one line; below it what each reason means."""
    counts: Counter[str] = Counter()
    for name in names:
        counts.update(known.refused.get(name, {}))
    ordered = dict(counts.most_common())
    return "\n".join([refusals.line(ordered), *refusals.meanings(ordered)])


def _window(window: facts.Window) -> str:
    reason = f" ({window.reason})" if window.reason else ""
    return f"{clock_time(window.starts_at)} to {clock_time(window.ends_at)}{reason}"


def _expiry(known: Known, names: Sequence[str]) -> str:
    """Of these domains' mail the one that is next, and why then."""
    moments = {name: _expires_at(known, known.snapshot.domains[name]) for name in names}
    found = [(moment, name) for name, moment in moments.items() if moment is not None]
    if not found:
        return ""
    moment, name = min(found)
    lifetime = span(known.snapshot.domains[name].lifetime)
    return f"{expiry_detail(moment, known.now)} ({name}, lifetime {lifetime}; nothing within 24h after a return)"


def _outage(outage: facts.Outage | None, handbacks: Mapping[int, Handback]) -> str:
    if outage is None:
        return ""
    end = f"back after {span(outage.returned_at - outage.began_at)}" if outage.returned_at else "not back yet"
    told = handed_back(outage, handbacks.get(outage.id, Handback()), None)
    back = f"\n{told}" if told else ""
    return f"outage {outage.id} at {clock_time(outage.began_at)}, {end}: {outage.reason}{back}"
