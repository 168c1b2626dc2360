"""What relayctl status shows, read in one transaction, so that no two figures are of different moments."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from cli.progress import Draining, draining
from relay.appliances import facts
from relay.appliances.directory import Snapshot, load
from relay.appliances.model import Domain
from relay.cluster.nodes import NodeRow, blind_spots_of, nodes, owner_names
from relay.edge.counts import refused
from relay.queue import backlog
from relay.tickets.reading import Brief, most_urgent


@dataclass(frozen=True, slots=True)
class Known:
    """Of all nodes, appliances and domains."""

    now: float
    snapshot: Snapshot
    nodes: list[NodeRow]
    owners: dict[int, str]
    tickets: dict[int, Brief]
    waiting: dict[str, tuple[int, int]]
    oldest: dict[str, float]
    returns: dict[int, float]
    drains: dict[int, Draining]
    drained: set[int]
    """Appliances that have been handed what waited, and are still being watched for a relapse."""
    findings: dict[int, list[facts.Finding]]
    windows: dict[int, facts.Window]
    """Maintenance that is under way."""
    blind: dict[int, dict[str, str]]
    """Nodes from which an appliance can't be reached, though from another it can: what they see, by appliance."""
    refused: dict[str, dict[str, int]]
    """In the last 24 hours, by domain and reason."""

    def in_doubt(self, node: str | None) -> bool:
        """Whether a node that runs takes itself for cut off."""
        return any(row.name == node and row.isolated and row.runs(self.now) for row in self.nodes)

    def expires_at(self, domain: Domain) -> float | None:
        """When the first of a domain's queued mail would expire, as lifetimes are now."""
        oldest = self.oldest.get(domain.name)
        if oldest is None:
            return None
        return backlog.expiry(oldest, domain.lifetime, self.returns.get(domain.appliance_id))


def read(connection: Connection, now: float) -> Known:
    """As of ``now``."""
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
        facts.list_drained(connection),
        findings,
        {window.appliance_id: window for window in snapshot.windows if window.starts_at <= now < window.ends_at},
        blind_spots_of(connection),
        refused(connection, now),
    )
