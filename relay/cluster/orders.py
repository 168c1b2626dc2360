"""What an operator says of a node: drain, resume, remove. Its own process hears of it within a second or two.

A node that drains hands over everything that it owns, takes no new sessions, and stays so over restarts until it is
told to resume; where no other node lives, it goes on as if nothing had been said. A node that is removed leaves its
sums behind: what it counted was so, and reading adds up the rows of all nodes that ever were. Functions work inside
the caller's transaction.
"""

from __future__ import annotations

from sqlalchemy import Connection, delete, select, update

from relay.appliances import progress
from relay.appliances.facts import raise_version
from relay.cluster.tables import blind_spots, looks, nodes, owners, sights
from relay.errors import NotFound, Refused


def drain(connection: Connection, name: str, now: float) -> None:
    """Ask a node to own nothing, from now on and after restarts. Raises NotFound."""
    _known(connection, name)
    connection.execute(update(nodes).where(nodes.c.name == name, nodes.c.drain_at.is_(None)).values(drain_at=now))
    raise_version(connection)


def resume(connection: Connection, name: str) -> bool:
    """It may own its share again; False where nothing was said before. Raises NotFound."""
    _known(connection, name)
    changed = update(nodes).where(nodes.c.name == name, nodes.c.drain_at.is_not(None)).values(drain_at=None)
    raise_version(connection)
    return bool(connection.execute(changed).rowcount)


def counter(connection: Connection, name: str) -> int | None:
    """By which its life is judged; None where it was stopped cleanly. Raises NotFound."""
    row = connection.execute(select(nodes.c.counter, nodes.c.stopped_at).where(nodes.c.name == name)).first()
    if row is None:
        raise _unknown(connection, name)
    return row.counter if row.stopped_at is None else None


def remove(connection: Connection, name: str, seen: int | None) -> None:
    """Forget a node that was stopped (``seen``: None), or whose counter has stood at ``seen`` for so long that it is
    dead. What it owned is free. Raises NotFound; Refused where it lives after all."""
    _known(connection, name)
    if counter(connection, name) != seen:
        raise Refused(f"node {name} is alive: 'relayctl node drain {name}', stop it, then remove it")
    connection.execute(delete(nodes).where(nodes.c.name == name))
    connection.execute(update(owners).where(owners.c.node == name).values(node=None, epoch=owners.c.epoch + 1))
    progress.forget(connection, name)
    connection.execute(delete(sights).where(sights.c.node == name))
    connection.execute(delete(looks).where(looks.c.node == name))
    connection.execute(delete(blind_spots).where(blind_spots.c.node == name))
    raise_version(connection)


def _known(connection: Connection, name: str) -> None:
    """Locks the row: its node raises its counter before this transaction or after it, not in between."""
    if connection.execute(select(nodes.c.name).where(nodes.c.name == name).with_for_update()).first() is None:
        raise _unknown(connection, name)


def _unknown(connection: Connection, name: str) -> NotFound:
    known = connection.execute(select(nodes.c.name).order_by(nodes.c.name)).scalars().all()
    return NotFound(f"no node is named {name}; there are {', '.join(known) or 'none'}")
