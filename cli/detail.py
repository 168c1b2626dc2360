"""One appliance in full, below the table of relayctl status: what it is, what we do about it, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from cli import refusals
from cli.context import Operator
from cli.known import Known
from cli.progress import expiry_detail, handed_back
from cli.render import clock_time, plural, span
from relay.appliances import facts
from relay.appliances.progress import Handback, list_handbacks
from relay.continuity.store import proofs_of
from relay.queue.cases import quarantined

WORST = 3
"""Reasons for quarantine that are shown."""


def detail(operator: Operator, known: Known, number: int, names: Sequence[str]) -> None:
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
    moments = {name: known.expires_at(known.snapshot.domains[name]) for name in names}
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
