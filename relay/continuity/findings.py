"""Findings become tickets: what was found wrong in a customer's set-up, one P3 for each appliance and condition.

A ticket lists the domains that it is about, and is resolved when all that was found is cured. What is no condition of
a ticket of its own (that a drain was stopped) is told in the ticket about mail flow, once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Connection

from relay.appliances import facts
from relay.appliances.directory import Directory, Snapshot
from relay.appliances.facts import Finding
from relay.clock import Clock, iso
from relay.continuity.comments import about
from relay.continuity.readiness import DNS
from relay.continuity.slices import write
from relay.db import Database
from relay.recipients.learned import WILDCARD
from relay.recipients.sync.store import FINDING as SYNC
from relay.tickets import desk, operators, store
from relay.tickets.states import RELAY, Condition, Priority
from relay.tickets.tables import tickets
from relay.tickets.ticket import Wanted

RETRY = 5.0

Group = tuple[int, Condition]
"""Appliance and condition: what a ticket is about."""

_CONDITIONS: Mapping[str, Condition] = {
    DNS: Condition.MX,
    WILDCARD: Condition.RECIPIENTS,
    SYNC: Condition.RECIPIENTS,
    **{str(condition): condition for condition in Condition},
}


class FindingTickets:
    """One for each node."""

    def __init__(self, db: Database, directory: Directory, clock: Clock) -> None:
        self._db = db
        self._directory = directory
        self._clock = clock
        self._seen: tuple[int, frozenset[int]] = (0, frozenset())
        self._told: dict[Group, tuple[Finding, ...]] = {}
        self._not_before = float("-inf")

    async def follow(self, owned: frozenset[int]) -> None:
        """Bring the tickets of these appliances up to what is found now; asks the database only when something has
        changed."""
        snapshot = self._directory.snapshot
        if self._seen == (snapshot.version, owned) or self._clock.monotonic() < self._not_before:
            return
        new = owned - self._seen[1]
        told = {group: findings for group, findings in self._told.items() if group[0] in owned}
        found = group_findings(
            finding for finding in await self._db.run(facts.list_findings) if finding.appliance_id in owned
        )
        open_ones = await self._db.run(_open_groups) if new else set()
        for group in open_ones - found.keys():
            if group[0] in new:
                told[group] = ()  # it was cured while nobody looked
        changed = {
            group: found.get(group, ())
            for group in found.keys() | told
            if found.get(group) != told.get(group) and group[0] in snapshot.appliances
        }

        def reconcile(connection: Connection, groups: Sequence[Group]) -> list[None]:
            now = self._clock.now()
            for group in groups:
                _reconcile(connection, snapshot, group, changed[group], told.get(group, ()), now)
            return [None] * len(groups)

        failed = [
            group for group, result in await write(self._db, reconcile, list(changed)) if isinstance(result, Exception)
        ]
        for group in failed:
            found[group] = told.get(group, ())
        self._told, self._seen = found, (0 if failed else snapshot.version, owned)
        self._not_before = self._clock.monotonic() + RETRY if failed else float("-inf")


def group_findings(findings: Iterable[Finding]) -> dict[Group, tuple[Finding, ...]]:
    """By what a ticket is about, in the order of domains."""
    groups: dict[Group, tuple[Finding, ...]] = {}
    for finding in sorted(findings, key=lambda finding: (finding.domain, finding.condition)):
        group = finding.appliance_id, _CONDITIONS.get(finding.condition, Condition.MAILFLOW)
        groups[group] = (*groups.get(group, ()), finding)
    return groups


def _open_groups(connection: Connection) -> set[Group]:
    """Open tickets of the relay about anything but mail flow."""
    which = store.OPEN & tickets.c.derived_priority.is_not(None) & (tickets.c.condition != str(Condition.MAILFLOW))
    return {
        (ticket.appliance_id, ticket.condition)
        for ticket in store.find_all(connection, which)
        if ticket.appliance_id is not None
    }


def _reconcile(
    connection: Connection,
    snapshot: Snapshot,
    group: Group,
    findings: tuple[Finding, ...],
    before: tuple[Finding, ...],
    now: float,
) -> None:
    """``before``: what the ticket was last told by this node."""
    number, condition = group
    if condition is Condition.MAILFLOW:
        _tell(connection, number, findings, before, now)
        return
    appliance = snapshot.appliances[number]
    domains = {finding.domain for finding in findings if finding.domain}
    text = "\n".join(map(_words, findings))
    last = store.latest(connection, number, condition)
    ticket = desk.reconcile(
        connection,
        Wanted(
            appliance_id=number,
            appliance=appliance.name,
            customer=appliance.customer,
            condition=condition,
            domains=tuple(sorted(domains or {domain.name for domain in snapshot.domains_of.get(number, ())})),
            priority=Priority.P3 if findings else None,
            started_at=min((finding.since for finding in findings), default=now),
            reason=text or "All of it is as it should be again.",
            plan=appliance.plan,
        ),
        now,
    )
    went_on = last is not None and not last.resolved and ticket is not None and not ticket.resolved
    if went_on and ticket is not None and findings:
        # Also where this node has told nothing yet: what another one, or an earlier start, said last stands in it.
        operators.comment_as_relay(connection, ticket.id, text, now)


def _tell(
    connection: Connection, number: int, findings: Iterable[Finding], before: Iterable[Finding], now: float
) -> None:
    """Comment in the open ticket about mail flow on what is found and what is no longer; what it says already, once."""
    ticket = store.latest(connection, number, Condition.MAILFLOW)
    if ticket is None or ticket.resolved:
        return
    said = {entry.reason for entry in store.histories(connection, tickets.c.id == ticket.id).get(ticket.id, ())}
    present = set(findings)
    texts = [f"{_words(finding)} (since {iso(finding.since)})" for finding in present]
    texts += [f"No longer: {_words(finding)} (of {iso(finding.since)})" for finding in set(before) - present]
    for text in sorted(texts):
        if text not in said:
            operators.comment(connection, ticket.id, RELAY, text, now)


def _words(finding: Finding) -> str:
    return about(finding.domain, finding.evidence)
