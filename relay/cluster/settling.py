"""Whether the wall clock can be believed at a start; where it can't, what can't be undone is put off for a while."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from relay.clock import DRIFT_LIMIT
from relay.cluster.tables import nodes

SETTLE = 3600.0
"""Seconds for which a node that doubts its clock puts off what can't be undone."""
AHEAD_LIMIT = 86400.0


def settles_at(now: float, last_heartbeat: float | None, before: float | None) -> float | None:
    """Until when a node that starts at ``now`` must put off what can't be undone; None: it needn't.

    The wall clock is doubted when it stands behind the ``last_heartbeat`` (by more than the drift that is tolerated
    anyway) or over 24 h ahead of it; ``before``: what an earlier start had decided and a restart doesn't cut short.
    """
    if last_heartbeat is not None and not -DRIFT_LIMIT <= now - last_heartbeat <= AHEAD_LIMIT:
        return now + SETTLE
    return before if before is not None and now < before <= now + SETTLE else None


def when_settled(connection: Connection, name: str, now: float) -> float | None:
    """The same for the node of that name, by what the database knows of it, or else of all nodes."""
    own = connection.execute(select(nodes.c.heartbeat_at, nodes.c.settles_at).where(nodes.c.name == name)).first()
    last = own.heartbeat_at if own else connection.execute(select(func.max(nodes.c.heartbeat_at))).scalar()
    return settles_at(now, last, own.settles_at if own else None)
