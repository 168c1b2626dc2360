"""Who is in the way of an upgrade of the database: nodes that run, and can't go on with it.

Works on a database of any revision, with whatever of the table of nodes it has. Goes by the server's clock where there
is one, else by the wall clock, and by a time that forgives one that is a little off: to be asked to stop a node that
has just died costs less than a node that meets tables it doesn't know.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, column, inspect, select, table

from relay.db import server_time
from relay.revisions import left_behind

HEARD_OF = 30.0
"""Seconds since its last heartbeat for which a node may still run."""


def in_the_way(
    connection: Connection, floor: str, known: Sequence[str], now: float, running: Collection[str] = ()
) -> list[str]:
    """Names of nodes that run, by name, and whose program is older than ``floor``. ``known``: all revisions, oldest
    first; ``running``: those of which it is certain."""
    found: dict[str, str | None] = dict.fromkeys(running)
    inspected = inspect(connection)
    if inspected.has_table("nodes"):
        has = {each["name"] for each in inspected.get_columns("nodes")}
        names = [name for name in ("name", "heartbeat_at", "stopped_at", "drift", "skew", "revision") if name in has]
        there = server_time(connection)
        for row in connection.execute(select(table("nodes", *map(column, names)))):
            skew = row.skew if "skew" in has else None
            silent = now - (row.heartbeat_at + row.drift)
            if there is not None and skew is not None:
                # An older program leaves the skew of a newer one as it was: whichever way it was heard of later counts.
                silent = min(silent, there - (row.heartbeat_at - skew))
            heard = row.stopped_at is None and silent < HEARD_OF
            if heard or row.name in found:
                found[row.name] = row.revision if "revision" in has else None
    return sorted(name for name, revision in found.items() if left_behind(revision, floor, known))
