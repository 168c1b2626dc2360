"""relayctl status: who is down, what we do about it, what waits, and which ticket is open.

For a person the most urgent stands first, with the reason; of many domains those that are quiet are only counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import click

from cli import head, helpdesk, people, refusals, saved
from cli.context import Operator, json_option
from cli.detail import detail
from cli.known import Known, read
from cli.names import EITHER
from cli.progress import deadline, worth_saying
from cli.render import at, plural, span
from cli.table import Column, count, prose, word
from relay.appliances.directory import Snapshot
from relay.appliances.facts import Health
from relay.appliances.model import Domain
from relay.errors import NotFound
from relay.mail import domain_of

FEW = 40
"""Domains that are listed in any case; of more, the quiet ones are only counted."""
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
    node = head.facts(operator, known)
    with operator.db.read() as connection:
        desk = helpdesk.facts(connection, operator.settings.helpdesk)
        trouble = helpdesk.trouble(connection, operator.settings.helpdesk, known.now)
        told = people.facts(connection, operator.settings, known.now)
        backup = saved.facts(connection, known.now)
        saying = saved.brief(connection, operator.settings.backup, known.now)
        restored = saved.restored(connection, known.now)
    nameless = known.refused.get("", {})
    facts = {"node": node, "domains": rows, "refused": refusals.facts(nameless), "helpdesk": desk}
    if operator.out.facts({**facts, "notify": told, "backup": backup}):
        return
    head.tell(operator, node, known, saying)
    for line in filter(None, (trouble, restored, *told["trouble"])):
        operator.out.line(line, "bold red")
    if nameless and name is None:
        operator.out.line(f"refused in the last 24 hours, for no domain of ours: {refusals.line(nameless)}")
    if len(rows) > 1:
        operator.out.line(_summary(rows))
    if unproven := sum(row["ready"] is False for row in rows):
        what = plural(unproven, "domain")
        operator.out.line(f"for {what} continuity can't be proven; what to do: 'relayctl doctor'", "bold red")
    for line in _without_domains(known) if name is None else ():
        operator.out.line(line, "bold red")
    operator.out.line()
    shown = rows if name or everything or len(rows) <= FEW else [row for row in rows if not _quiet(row)]
    operator.out.table(COLUMNS, _lines(known, shown), empty=_nothing(rows, name))
    if shown and len(shown) < len(rows):
        operator.out.line(f"{plural(len(rows) - len(shown), 'more domain')} without trouble; --all lists them", "dim")
    if name is not None:
        for number in sorted({domain.appliance_id for domain in domains}) or _bare(known.snapshot, name):
            detail(operator, known, number, [domain.name for domain in domains if domain.appliance_id == number])


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


def _bare(snapshot: Snapshot, name: str) -> list[int]:
    """An appliance without domains is watched all the same."""
    return [number for number, appliance in snapshot.appliances.items() if appliance.name == name]


def _without_domains(known: Known) -> Iterator[str]:
    """Tickets of appliances that no row of the table stands for."""
    for number, appliance in known.snapshot.appliances.items():
        ticket = known.tickets.get(number)
        if ticket and not known.snapshot.domains_of.get(number):
            yield (
                f"appliance {appliance.name} has no domains, and P{ticket.priority} #{ticket.id}: "
                f"'relayctl appliance remove {appliance.name}', if nobody needs it any more"
            )


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
        "first_expiry_at": at(known.expires_at(domain)),
        "drain": drain.facts() if drain else None,
        "ticket": ticket.facts() if ticket else None,
        "owner": known.owners.get(appliance.id),
        "blind_nodes": known.blind.get(appliance.id, {}),
        "order": continuity.order,
        "maintenance_until": at(window.ends_at) if window else None,
        "findings": [
            {"domain": finding.domain, "condition": finding.condition, "evidence": finding.evidence}
            for finding in known.findings.get(appliance.id, ())
            if finding.domain in ("", domain.name)
        ],
        "refused": refusals.facts(known.refused.get(domain.name, {})),
    }


def _quiet(row: dict[str, Any]) -> bool:
    return (
        row["health"] == Health.UP
        and row["ready"] is not False
        and not row["findings"]
        and row["ticket"] is None
        and not row["blind_nodes"]
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
    drain, expires_at = known.drains.get(domain.appliance_id), known.expires_at(domain)
    in_doubt = first and row["health"] != Health.DOWN and known.in_doubt(row["owner"])
    if first and row["health"] != Health.UP and not (in_doubt and row["health"] == Health.UNKNOWN):
        reasons.append(f"{row['health']} for {span(row['health_seconds'])}: {row['health_reason']}")
    if in_doubt:
        reasons.append(f"it may be down: node {row['owner']}, which probes it, can't say so while it may be cut off")
    if first and row["blind_nodes"] and row["health"] != Health.DOWN:
        reasons += [f"node {name} cannot reach it ({said})" for name, said in row["blind_nodes"].items()]
        reasons.append(f"node {row['owner']} can, and works for it")
    if first and drain is not None:
        reasons.append(drain.told())
    elif first and row["health"] == Health.UP and domain.appliance_id in known.drained:
        reasons.append("what waited has been tried; the outage ends, and its ticket, when it has stayed up for a while")
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


def _nothing(rows: Sequence[dict[str, Any]], name: str | None) -> str:
    if name is not None:
        return f"{name} has no Gold domains"
    if not rows:
        return "no Gold domains yet; 'relayctl domain add' adds one"
    return f"all {len(rows)} domains are up and quiet; --all lists them"
