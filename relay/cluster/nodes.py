"""The nodes of the cluster and what they own, as an operator sees them.

Read only, and only for people: whether a node is dead is decided by its counter (see ``lease``), never by the times
shown here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, select

from relay.cluster.lease import OUTBOX, POSTMASTER
from relay.cluster.tables import blind_spots, owners
from relay.cluster.tables import nodes as table
from relay.db import server_time

SILENT_AFTER = 10.0
"""Seconds since the last heartbeat after which a node is shown as dead."""


class NodeState(StrEnum):
    """What a node is doing, as its row says."""

    LIVE = "live"
    DRAINING = "draining"
    """An operator asked it to own nothing, and it still hands over; or nobody else is there to take its place."""
    DRAINED = "drained"
    """It owns nothing, and takes no sessions: it can be stopped."""
    STOPPED = "stopped"
    DEAD = "dead"
    """It neither stopped nor was heard of in the last 10 s."""

    @property
    def runs(self) -> bool:
        return self in (NodeState.LIVE, NodeState.DRAINING, NodeState.DRAINED)


@dataclass(frozen=True, slots=True)
class NodeRow:
    """``drift``: its wall clock minus its own time, seconds; ``skew``: its own time minus the database server's, None
    where there is none; ``silent``: for how long the server hasn't heard of it, by the server's clock. ``isolated``:
    why it takes itself for cut off, or empty. ``settles_at``: until then it puts off what can't be undone, for its
    clock looked wrong at its start. ``drain_at``: when an operator asked it to drain. ``owned``: ids of appliances,
    OUTBOX and POSTMASTER among them."""

    name: str
    hostname: str
    version: str
    listeners: tuple[str, ...]
    started_at: float
    heartbeat_at: float
    stopped_at: float | None
    settles_at: float | None
    drift: float
    isolated: str
    drain_at: float | None = None
    owned: frozenset[int] = frozenset()
    skew: float | None = None
    silent: float | None = None

    def state(self, now: float) -> NodeState:
        if self.stopped_at is not None:
            return NodeState.STOPPED
        if self.heard_of(now) >= SILENT_AFTER:
            return NodeState.DEAD
        if self.drain_at is not None:
            return NodeState.DRAINING if self.owned else NodeState.DRAINED
        return NodeState.LIVE

    def runs(self, now: float) -> bool:
        return self.state(now).runs

    def heard_of(self, now: float) -> float:
        """How many seconds ago: by the server's clock, or the wall clock, which whoever asks goes by."""
        return self.silent if self.silent is not None else now - (self.heartbeat_at + self.drift)

    def since(self, now: float) -> float:
        """When its state began; of a dead one, whose own time may be wrong, by the clock of whoever asks."""
        match self.state(now):
            case NodeState.STOPPED:
                return self.stopped_at or self.heartbeat_at
            case NodeState.DEAD:
                return now - self.heard_of(now)
            case NodeState.LIVE:
                return self.started_at
        return max(self.started_at, self.drain_at or 0.0)

    @property
    def appliances(self) -> int:
        """How many of the customers' it owns."""
        return len(self.owned - {OUTBOX, POSTMASTER})

    @property
    def duties(self) -> list[str]:
        """What else it does alone in the cluster, in words."""
        return [word for number, word in ((OUTBOX, "outbox"), (POSTMASTER, "postmaster")) if number in self.owned]


def nodes(connection: Connection) -> list[NodeRow]:
    """Every node that ever ran on this database and wasn't removed, by name."""
    owned: dict[str | None, set[int]] = {}
    for number, node in connection.execute(select(owners.c.appliance_id, owners.c.node)):
        owned.setdefault(node, set()).add(number)
    rows = connection.execute(select(table).order_by(table.c.name)).all()
    there = server_time(connection)
    return [
        NodeRow(
            row.name,
            row.hostname,
            row.version,
            tuple(row.listeners),
            row.started_at,
            row.heartbeat_at,
            row.stopped_at,
            row.settles_at,
            row.drift,
            row.isolated,
            row.drain_at,
            frozenset(owned.get(row.name, ())),
            row.skew,
            None if there is None or row.skew is None else there - (row.heartbeat_at - row.skew),
        )
        for row in rows
    ]


def owner_names(connection: Connection) -> dict[int, str]:
    """The name of each appliance's owner; an appliance without one is missing."""
    rows = connection.execute(
        select(owners.c.appliance_id, owners.c.node).where(
            owners.c.node.is_not(None), owners.c.appliance_id >= POSTMASTER
        )
    )
    return {row.appliance_id: row.node for row in rows}


def blind_spots_of(connection: Connection) -> dict[int, dict[str, str]]:
    """From which nodes an appliance can't be reached though another one reaches it, and what they saw; by its id."""
    found: dict[int, dict[str, str]] = {}
    for row in connection.execute(select(blind_spots).order_by(blind_spots.c.node)):
        found.setdefault(row.appliance_id, {})[row.node] = row.said
    return found
