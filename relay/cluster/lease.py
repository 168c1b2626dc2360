"""Leases: which node is alive, and which owns an appliance.

The lease is the node's: one row with a counter that it raises. A node is dead when another has watched that counter
stand still for ``Timing.dead_after`` seconds of its own monotonic clock; wall times are never compared. The watching
and the claiming are one transaction, so that a node that has just revived isn't robbed, and no two nodes ever own one
appliance. Where transactions run side by side (PostgreSQL, READ COMMITTED) whoever claims has locked the rows of all
nodes first, in the order of their names: nobody's counter moves meanwhile. A node claims whatever has no living owner;
spreading appliances evenly isn't tried. Functions work inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, func, insert, literal, or_, select, union, update

from relay.appliances.facts import raise_version
from relay.appliances.tables import appliances
from relay.cluster.tables import nodes, owners
from relay.errors import RelayError

POSTMASTER = 0
"""The id under which the relay's own postmaster mail is owned and delivered; no row of ``appliances`` has it."""
OUTBOX = -1
"""The id under which one node owns the outbox and hears what people do in the helpdesk."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. A node begins nothing later than ``dead_after - margin`` after the start of its last renewal."""

    renew: float = 3.0
    dead_after: float = 10.0
    margin: float = 3.0


class LeaseLost(RelayError):
    """Another process has taken this node's name: this one must end."""


@dataclass(slots=True)
class Observer:
    """How long the counters of other nodes have stood still, by this node's monotonic clock."""

    timing: Timing
    _since: dict[str, tuple[int, float]] = field(default_factory=dict)
    _looked_at: float = float("-inf")

    def dead(self, counters: Mapping[str, int], at: float) -> set[str]:
        """Take the counters as they are at ``at``; the names of those that stood still for too long. Whoever hasn't
        looked for a while, for it was stopped itself, has seen nothing and begins anew."""
        slept = at - self._looked_at > self.timing.dead_after / 2
        self._looked_at = at
        self._since = {
            name: known if (known := self._since.get(name)) and known[0] == counter and not slept else (counter, at)
            for name, counter in counters.items()
        }
        return {name for name, (_, since) in self._since.items() if at - since >= self.timing.dead_after}


def take_turn(connection: Connection) -> None:
    """Let no other node renew or claim until the transaction ends. On SQLite nobody does anyway."""
    connection.execute(select(nodes.c.name).order_by(nodes.c.name).with_for_update())


def register(connection: Connection, name: str, instance: str, now: float, **about: Any) -> None:
    """Enter a node that starts, under an ``instance`` of its own; what it owned before is its own again, in a new
    epoch. ``about``: further columns of ``nodes``."""
    values = {"instance": instance, "started_at": now, "heartbeat_at": now, "stopped_at": None, **about}
    again = connection.execute(
        update(nodes).where(nodes.c.name == name).values(counter=nodes.c.counter + 1, **values)
    ).rowcount
    if not again:
        connection.execute(insert(nodes).values(name=name, counter=1, **values))
    connection.execute(update(owners).where(owners.c.node == name).values(epoch=owners.c.epoch + 1))


def renew(connection: Connection, name: str, instance: str, now: float, **about: Any) -> bool:
    """Raise the counter; False where an operator has removed the row: register again. Raises LeaseLost."""
    renewed = connection.execute(
        update(nodes)
        .where((nodes.c.name == name) & (nodes.c.instance == instance))
        .values(counter=nodes.c.counter + 1, heartbeat_at=now, **about)
    ).rowcount
    if renewed:
        return True
    if connection.execute(select(nodes.c.name).where(nodes.c.name == name)).first():
        raise LeaseLost(f"another process runs as node {name} on this database; names must differ")
    return False


def claim(connection: Connection, name: str, observer: Observer, at: float) -> dict[int, int]:
    """Take every appliance that has no living owner; what ``name`` owns now: epochs by appliance id.

    ``at``: monotonic seconds.
    """
    others = connection.execute(select(nodes.c.name, nodes.c.counter, nodes.c.stopped_at).where(nodes.c.name != name))
    rows = others.all()
    dead = observer.dead({row.name: row.counter for row in rows if row.stopped_at is None}, at)
    alive = {row.name for row in rows if row.stopped_at is None} - dead | {name}
    every = union(select(appliances.c.id), *(select(literal(one)) for one in (POSTMASTER, OUTBOX))).subquery()
    gone = connection.execute(delete(owners).where(owners.c.appliance_id.not_in(select(every.c[0])))).rowcount
    added = connection.execute(
        insert(owners).from_select(
            ["appliance_id", "node", "epoch"],
            select(every.c[0], literal(name), literal(1)).where(every.c[0].not_in(select(owners.c.appliance_id))),
        ),
        execution_options={"preserve_rowcount": True},
    ).rowcount
    taken = connection.execute(
        update(owners)
        .where(or_(owners.c.node.is_(None), owners.c.node.not_in(alive)))
        .values(node=name, epoch=owners.c.epoch + 1)
    ).rowcount
    if gone > 0 or added > 0 or taken > 0:
        raise_version(connection)
    mine = connection.execute(select(owners.c.appliance_id, owners.c.epoch).where(owners.c.node == name))
    return {row.appliance_id: row.epoch for row in mine}


def owned_by_others(connection: Connection, name: str, appliance_ids: Iterable[int]) -> int:
    """How many of these appliances belong to a node other than ``name``."""
    ids = set(appliance_ids)
    if not ids:
        return 0
    query = select(func.count()).where(owners.c.appliance_id.in_(ids), owners.c.node != name)
    return int(connection.execute(query).scalar_one())


def release(connection: Connection, name: str, instance: str, now: float) -> None:
    """A clean stop: what the node owned is free at once."""
    stopped = connection.execute(
        update(nodes).where((nodes.c.name == name) & (nodes.c.instance == instance)).values(stopped_at=now)
    ).rowcount
    if stopped:
        connection.execute(update(owners).where(owners.c.node == name).values(node=None))
        raise_version(connection)


def holds(connection: Connection, name: str, appliance_id: int, epoch: int | None) -> bool:
    """The fence: inside the transaction that decides something, whether the decider still owns the appliance.

    It stays so until that ends: who would take the appliance waits for the row.
    """
    found = select(owners.c.node, owners.c.epoch).where(owners.c.appliance_id == appliance_id)
    row = connection.execute(found.with_for_update(read=True)).first()
    return row is not None and row.node == name and row.epoch == epoch
