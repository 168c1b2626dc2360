"""The nodes of the cluster and what they own, as an operator sees them.

Read only, and only for people: whether a node is dead is decided by its counter (see ``lease``), never by the times
shown here.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from relay.cluster.lease import POSTMASTER
from relay.cluster.tables import nodes as table
from relay.cluster.tables import owners

SILENT_AFTER = 10.0
"""Seconds since the last heartbeat after which a node is shown as silent."""


@dataclass(frozen=True, slots=True)
class NodeRow:
    """``drift``: its wall clock minus its own time, seconds. ``isolated``: why it takes itself for cut off, or empty.
    ``settles_at``: until then it puts off what can't be undone, for its clock looked wrong at its start."""

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

    def state(self, now: float) -> str:
        """``running``, ``stopped``, or ``silent``: it neither stopped nor was heard of in the last 10 s."""
        if self.stopped_at is not None:
            return "stopped"
        heard_at = self.heartbeat_at + self.drift  # by the wall clock, which whoever asks goes by
        return "running" if now - heard_at < SILENT_AFTER else "silent"


def nodes(connection: Connection) -> list[NodeRow]:
    """Every node that ever ran on this database, by name."""
    rows = connection.execute(select(table).order_by(table.c.name))
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
