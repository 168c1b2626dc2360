"""Waking the owner of an appliance from another process: an operator released its mail, another node accepted some.

Whoever changes waiting mail marks the appliance in the same transaction; each node sees the mark within a quarter of
a second of the commit (relay.cluster.wake). A row an appliance, numbered in the order of marking, so that a look
costs what is new and not what there is.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Column, Connection, Integer, Table, delete, func, insert, select

from relay.db import metadata

wakes = Table(
    "wakes",
    metadata,
    Column("appliance_id", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, nullable=False, index=True),
)


def mark(connection: Connection, appliance_ids: Iterable[int]) -> None:
    """Wake the owners of these appliances when the transaction commits."""
    ids = set(appliance_ids)
    if ids:
        number = latest(connection) + 1
        connection.execute(delete(wakes).where(wakes.c.appliance_id.in_(ids)))
        connection.execute(insert(wakes), [{"appliance_id": appliance_id, "number": number} for appliance_id in ids])


def latest(connection: Connection) -> int:
    """The number of the last mark; 0 where there was none."""
    return int(connection.execute(select(func.coalesce(func.max(wakes.c.number), 0))).scalar_one())


def since(connection: Connection, number: int) -> tuple[int, set[int]]:
    """The number of the last mark, and the appliances marked after ``number``."""
    rows = connection.execute(select(wakes.c.appliance_id, wakes.c.number).where(wakes.c.number > number)).all()
    return max((row.number for row in rows), default=number), {row.appliance_id for row in rows}
