"""Room: how much the disk has left, and how fast mail came, for the proof that it lasts until the next opening hour."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, func, select

from relay.appliances.tables import domains, outages
from relay.db import Database
from relay.queue.tables import arrivals

RESERVE = 256 * 1024 * 1024
"""Bytes of the disk that mail may not use: outcomes must be recorded, and the WAL must move into the database, also
when mail can no longer be taken; else a full disk could never be drained."""
SMALL_RESERVE = 32 * 1024 * 1024
"""The same on a disk of which RESERVE would be more than a twentieth: twice the usual WAL."""

# A chunk of a value that is kept out of its row takes some 2 kB. What is free within the table of content will be used
# again, as far as a vacuum has found it.
USED = """
SELECT pg_database_size(current_database()) - coalesce((
    SELECT greatest(0, pg_relation_size(chunks.oid)
        - (greatest(chunks.reltuples, stat.n_live_tup, 0) + coalesce(stat.n_dead_tup, 0)) * 2048)
    FROM pg_class AS chunks LEFT JOIN pg_stat_all_tables AS stat ON stat.relid = chunks.oid
    WHERE chunks.oid = (SELECT reltoastrelid FROM pg_class WHERE oid = 'content'::regclass)), 0)::bigint
"""
"""Bytes of its volume that a PostgreSQL database uses."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Bytes an hour that came for an appliance: in the present and the last full hour, the higher one; and in the
    busiest hour of its last outage, or of that and the one that goes on (0 where there was none, or it is
    forgotten)."""

    now: int
    busiest: int


def volume_free(db: Database, capacity: int) -> int | None:
    """Bytes that the volume of the database has free. ``capacity``: what it has, where only an operator knows (0:
    nobody does, then None). Raises DatabaseError, OSError."""
    if db.path is not None:
        return shutil.disk_usage(db.path.parent).free
    if not capacity:
        return None
    with db.read() as connection:
        return max(0, capacity - int(connection.exec_driver_sql(USED).scalar_one()))


def disk_free(path: Path, keep: int = 0) -> int:
    """Bytes left for mail where the database lies: what the disk has free, less what stays reserved or, where that is
    more, what an operator wants to ``keep`` free."""
    usage = shutil.disk_usage(path.parent)
    return usage.free - reserve(usage.total, keep)


def reserve(total: int, keep: int) -> int:
    """Bytes of a volume of ``total`` bytes that mail may not use."""
    return max(keep, SMALL_RESERVE, min(RESERVE, total // 20))


def accept_rate(connection: Connection, appliance_id: int, now: float) -> Rates:
    """How fast mail comes for an appliance's domains."""
    hour = int(now // 3600)
    last = connection.execute(
        select(outages.c.began_at, outages.c.ended_at)
        .where(outages.c.appliance_id == appliance_id)
        .order_by(outages.c.id.desc())
        .limit(2)
    ).all()
    going_on = bool(last) and last[0].ended_at is None
    busiest = max(
        (
            _highest(connection, appliance_id, outage.began_at // 3600, (outage.ended_at or now) // 3600)
            for outage in (last if going_on else last[:1])
        ),
        default=0,
    )
    return Rates(_highest(connection, appliance_id, hour - 1, hour), busiest)


def _highest(connection: Connection, appliance_id: int, first: float, last: float) -> int:
    """Bytes of the busiest hour from ``first`` to ``last``."""
    hours = (
        select(func.sum(arrivals.c.bytes).label("bytes"))
        .where(
            arrivals.c.domain.in_(select(domains.c.name).where(domains.c.appliance_id == appliance_id)),
            arrivals.c.hour.between(int(first), int(last)),
        )
        .group_by(arrivals.c.hour)
        .subquery()
    )
    return int(connection.execute(select(func.coalesce(func.max(hours.c.bytes), 0))).scalar_one())
