"""The customers' own backups of their appliances: when the last one was made, as operators record it.

The relay makes none and looks at none. Functions work inside the caller's transaction.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, insert, select

from relay.appliances.facts import raise_version
from relay.appliances.tables import backups


@dataclass(frozen=True, slots=True)
class Backup:
    """``made_at``: when it was made; ``recorded_at`` and ``recorded_by``: who said so, and when."""

    id: int
    appliance_id: int
    made_at: float
    what: str
    recorded_by: str
    recorded_at: float


def record(connection: Connection, appliance_id: int, made_at: float, what: str, who: str, now: float) -> Backup:
    """Note that one was made; every node knows at once."""
    values = {
        "appliance_id": appliance_id,
        "made_at": made_at,
        "what": what,
        "recorded_by": who,
        "recorded_at": now,
    }
    key = connection.execute(insert(backups).values(**values)).inserted_primary_key
    assert key is not None  # noqa: S101 - an INTEGER PRIMARY KEY always comes back
    raise_version(connection)
    return Backup(int(key[0]), appliance_id, made_at, what, who, now)


def list_backups(connection: Connection, appliance_id: int | None = None, *, limit: int = 1000) -> list[Backup]:
    """The newest first, of one appliance or of all."""
    query = select(backups).order_by(backups.c.made_at.desc(), backups.c.id.desc()).limit(limit)
    if appliance_id is not None:
        query = query.where(backups.c.appliance_id == appliance_id)
    return [Backup(*row) for row in connection.execute(query)]


def last_backups(connection: Connection) -> dict[int, float]:
    """When the last one was made, by appliance."""
    query = select(backups.c.appliance_id, func.max(backups.c.made_at)).group_by(backups.c.appliance_id)
    return {number: float(made_at) for number, made_at in connection.execute(query)}
