"""Leases: which node is alive, and which owns an appliance.

The lease is the node's: one row with a counter that it raises. A node is dead when another has watched that counter
stand still for ``Timing.dead_after`` seconds of its own monotonic clock; wall times are never compared. What has no
living owner is given out evenly among the living (relay.cluster.spread) by whoever sees it first.

No two nodes ever own one appliance, also where transactions run side by side (PostgreSQL, READ COMMITTED): whoever
changes owners first locks the rows of all nodes, in the order of their names, and then judges by counters that nobody
can raise meanwhile. A node that has just revived isn't robbed so; one that was robbed had not renewed for longer than
it relies on a renewal, and learns of it with the next, for it reads what it owns only after its counter is raised.
Functions work inside the caller's transaction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import Connection, delete, func, insert, or_, select, update

from relay.appliances.facts import raise_version
from relay.appliances.tables import appliances
from relay.cluster.observer import Observer
from relay.cluster.spread import Peer, adopt
from relay.cluster.tables import blind_spots, nodes, owners
from relay.cluster.vouching import vouched
from relay.errors import RelayError

POSTMASTER = 0
"""The id under which the relay's own postmaster mail is owned and delivered; no row of ``appliances`` has it. Its owner
keeps house for all nodes, too: forgets what is old, and drops what was long in quarantine."""
OUTBOX = -1
"""The id under which one node owns the outbox, hears what people do in the helpdesk, and warns of clocks."""
SLICE = 500
"""Rows of one statement."""
BLIND_LEAST = 3
"""Appliances that a node can't reach though others can, and that are more than it owns: then it counts as cut off."""


class LeaseLost(RelayError):
    """Another process has taken this node's name: this one must end."""


@dataclass(frozen=True, slots=True)
class View:
    """What a look at the cluster showed. ``owned``: epochs by appliance, of the node that looked; ``peers``: who lives,
    itself included; ``orphans``: without a living owner; ``gone``: owned, and removed since; ``avoid``: the nodes from
    which an appliance can't be reached; ``vouched``: of those with a domain that defers, or is learned, which other
    nodes own and keep their probes of on schedule."""

    owned: dict[int, int]
    peers: tuple[Peer, ...]
    orphans: frozenset[int]
    gone: frozenset[int]
    avoid: Mapping[int, Collection[str]]
    vouched: frozenset[int] = frozenset()

    @property
    def alive(self) -> frozenset[str]:
        return frozenset(peer.name for peer in self.peers)


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


def look(connection: Connection, name: str, observer: Observer, at: float) -> View:
    """How the cluster is now, as ``name`` sees it; reads only. ``at``: monotonic seconds."""
    return _view(connection, name, observer, at, connection.execute(_ALL_NODES).all())


def claim(connection: Connection, name: str, observer: Observer, at: float) -> View:
    """Give whatever has no living owner to the living, evenly; how it is then."""
    view = _view(connection, name, observer, at, connection.execute(_ALL_NODES.with_for_update()).all())
    if not view.orphans and not view.gone:
        return view
    for together in _slices(view.gone):
        connection.execute(delete(owners).where(owners.c.appliance_id.in_(together)))
    known = set(connection.execute(select(owners.c.appliance_id)).scalars())
    chosen = adopt(view.orphans, view.peers, view.avoid)
    new = [{"appliance_id": one, "node": to, "epoch": 1} for one, to in chosen.items() if one not in known]
    if new:
        connection.execute(insert(owners), new)
    for to in set(chosen.values()):
        for together in _slices(one for one, taker in chosen.items() if taker == to and one in known):
            free = or_(owners.c.node.is_(None), owners.c.node.not_in(view.alive))
            connection.execute(
                update(owners)
                .where(owners.c.appliance_id.in_(together), free)
                .values(node=to, epoch=owners.c.epoch + 1)
            )
    raise_version(connection)
    return _view(connection, name, observer, at, connection.execute(_ALL_NODES).all())


def _view(connection: Connection, name: str, observer: Observer, at: float, rows: Iterable[Any]) -> View:
    running = {row.name: row for row in rows if row.stopped_at is None}
    dead = observer.dead({row.name: row.counter for row in running.values() if row.name != name}, at)
    alive = running.keys() - dead
    # Of tens of thousands of appliances only what a node owns itself, and what is amiss, is read row by row.
    gone = {row.appliance_id: row.node for row in connection.execute(_GONE)}
    counts = Counter({row.node: row.owned for row in connection.execute(_COUNTS)}) - Counter(gone.values())
    mine = connection.execute(select(owners.c.appliance_id, owners.c.epoch).where(owners.c.node == name))
    avoid = _blind(connection)
    blind = Counter(each for blinded in avoid.values() for each in blinded)
    peers = tuple(
        Peer(
            each,
            counts[each],
            steady=each == name or observer.steady(each),
            draining=running[each].drain_at is not None,
            isolated=bool(running[each].isolated) or BLIND_LEAST <= blind[each] > counts[each],
        )
        for each in sorted(alive)
    )
    return View(
        {row.appliance_id: row.epoch for row in mine if row.appliance_id not in gone},
        peers,
        _orphans(connection, alive),
        frozenset(gone),
        avoid,
        vouched(connection, {each: running[each].behind for each in alive if each != name}),
    )


def _orphans(connection: Connection, alive: Collection[str]) -> frozenset[int]:
    """What has no owner that lives."""
    owned = owners.c.node.in_(alive)
    special = (POSTMASTER, OUTBOX)
    cared_for = select(owners.c.appliance_id).where(owners.c.appliance_id.in_(special), owned)
    left = select(appliances.c.id).outerjoin(owners, _SAME).where(or_(owners.c.node.is_(None), ~owned))
    return frozenset({*special} - {*connection.execute(cared_for).scalars()} | {*connection.execute(left).scalars()})


def hand_over(connection: Connection, name: str, given: Mapping[int, tuple[int, str]], alive: Collection[str]) -> None:
    """``given``: the epoch in which ``name`` owns an appliance, and who is to own it. One that has died meanwhile, or
    was stopped, gets nothing: it is free then. What isn't ``name``'s any more stays as it is."""
    there = {row.name for row in connection.execute(_ALL_NODES.with_for_update()) if row.stopped_at is None}
    for number, (epoch, to) in given.items():
        connection.execute(
            update(owners)
            .where(owners.c.appliance_id == number, owners.c.node == name, owners.c.epoch == epoch)
            .values(node=to if to in there and to in alive else None, epoch=owners.c.epoch + 1)
        )
    raise_version(connection)


def changes(connection: Connection, name: str) -> tuple[Any, ...]:
    """Is another value whenever something was given to ``name``, taken from it, lies about without an owner, or an
    operator asked it to drain; costs one row."""
    mine = owners.c.node == name
    counted = connection.execute(
        select(
            func.count().filter(mine),
            func.coalesce(func.sum(owners.c.epoch).filter(mine), 0),
            func.count().filter(owners.c.node.is_(None)),
        )
    ).one()
    return (*counted, connection.execute(select(nodes.c.drain_at).where(nodes.c.name == name)).scalar())


def release(connection: Connection, name: str, instance: str, now: float, peers: Collection[Peer] = ()) -> None:
    """A clean stop: what the node owned is the others' at once (``peers``, as it last saw them), or free."""
    there = {row.name for row in connection.execute(_ALL_NODES.with_for_update()) if row.stopped_at is None}
    stopped = connection.execute(
        update(nodes).where((nodes.c.name == name) & (nodes.c.instance == instance)).values(stopped_at=now, isolated="")
    ).rowcount
    if not stopped:
        return
    left = set(connection.execute(select(owners.c.appliance_id).where(owners.c.node == name)).scalars())
    others = [peer for peer in peers if peer.name != name and peer.name in there]
    chosen = adopt(left, others, _blind(connection))
    for to in {chosen.get(number) for number in left}:
        for together in _slices(number for number in left if chosen.get(number) == to):
            connection.execute(
                update(owners)
                .where(owners.c.appliance_id.in_(together), owners.c.node == name)
                .values(node=to, epoch=owners.c.epoch + 1)
            )
    raise_version(connection)


def abandon(connection: Connection, now: float) -> None:
    """No node is alive in this copy of a database: what they owned is free at once."""
    connection.execute(update(nodes).where(nodes.c.stopped_at.is_(None)).values(stopped_at=now))
    connection.execute(update(owners).values(node=None))
    raise_version(connection)


def holds(connection: Connection, name: str, appliance_id: int, epoch: int | None) -> bool:
    """The fence: inside the transaction that decides something, whether the decider still owns the appliance.

    It stays so until that ends: who would take the appliance waits for the row. Where somebody is changing the owner
    just now the answer is no, and nobody waits for him: a transaction that has written facts already holds what he
    needs to end (the version of the facts), and the two would wait for each other.
    """
    found = select(owners.c.node, owners.c.epoch).where(owners.c.appliance_id == appliance_id)
    row = connection.execute(found.with_for_update(read=True, skip_locked=True)).first()
    return row is not None and row.node == name and row.epoch == epoch


_ALL_NODES = select(
    nodes.c.name, nodes.c.counter, nodes.c.stopped_at, nodes.c.drain_at, nodes.c.isolated, nodes.c.behind
).order_by(nodes.c.name)
"""With FOR UPDATE: the turn of whoever changes owners. SQLite needs no such lock; there every writer is alone."""


_SAME = owners.c.appliance_id == appliances.c.id
_COUNTS = select(owners.c.node, func.count().label("owned")).where(owners.c.node.is_not(None)).group_by(owners.c.node)
_GONE = (
    select(owners.c.appliance_id, owners.c.node)
    .outerjoin(appliances, _SAME)
    .where(appliances.c.id.is_(None), owners.c.appliance_id.not_in((POSTMASTER, OUTBOX)))
)
"""What is owned, and isn't there any more."""


def _blind(connection: Connection) -> dict[int, set[str]]:
    found: dict[int, set[str]] = {}
    for spot in connection.execute(select(blind_spots.c.appliance_id, blind_spots.c.node)):
        found.setdefault(spot.appliance_id, set()).add(spot.node)
    return found


def _slices(numbers: Iterable[int]) -> Iterable[list[int]]:
    left = iter(sorted(numbers))
    while together := list(islice(left, SLICE)):
        yield together
