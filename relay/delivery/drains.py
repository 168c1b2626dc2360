"""What must outlive a restart about an appliance's drain: when it came back, and whether the breaker has stopped it.

A row is there from a return of the primary until its window for provisional outcomes has closed and the breaker, if
it tripped, was released. A tripped breaker is also a finding (condition ``breaker``), so that the ticket says so.
Functions work inside the caller's transaction; delivery alone writes here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    Float,
    ForeignKey,
    Integer,
    Row,
    String,
    Table,
    delete,
    insert,
    select,
    update,
)

from relay.appliances import facts
from relay.db import metadata
from relay.delivery.breaker import WINDOW, Trip

FINDING = "breaker"
"""The condition of the finding."""

drains = Table(
    "drains",
    metadata,
    Column("appliance_id", Integer, ForeignKey("appliances.id", ondelete="CASCADE"), primary_key=True),
    Column("returned_at", Float, nullable=False),
    Column("window_until", Float, nullable=False),
    Column("tripped_at", Float),
    Column("reason", String, nullable=False),
    Column("addresses", JSON, nullable=False),
    Column("known", Boolean, nullable=False),
    Column("taken_at", Float),
)


@dataclass(frozen=True, slots=True)
class DrainState:
    """``window_until``: 5xx outcomes are provisional until then. ``tripped_at``: since when the breaker holds the
    drain back for the reasons of ``trip``; both None where it doesn't. ``taken_at``: when a message was first taken
    since the return."""

    appliance_id: int
    returned_at: float
    window_until: float
    tripped_at: float | None = None
    trip: Trip | None = None
    taken_at: float | None = None


def get_drain(connection: Connection, appliance_id: int) -> DrainState | None:
    row = connection.execute(select(drains).where(drains.c.appliance_id == appliance_id)).first()
    return _state(row) if row else None


def all_drains(connection: Connection) -> dict[int, DrainState]:
    return {row.appliance_id: _state(row) for row in connection.execute(select(drains))}


def begin(connection: Connection, appliance_id: int, now: float) -> DrainState:
    """The primary came back: its window opens, or opens anew. A breaker that has tripped stays so."""
    before = get_drain(connection, appliance_id)
    if before is None:
        drain = DrainState(appliance_id, now, now + WINDOW)
        connection.execute(insert(drains).values(_row(drain)))
    else:
        drain = replace(before, returned_at=now, window_until=now + WINDOW, taken_at=None)
        _store(connection, drain)
    return drain


def take(connection: Connection, drain: DrainState, now: float) -> DrainState:
    """The first message since the return was taken."""
    taking = replace(drain, taken_at=now)
    _store(connection, taking)
    return taking


def trip(connection: Connection, drain: DrainState, trip: Trip, now: float) -> DrainState:
    """The breaker stops the drain."""
    tripped = replace(drain, tripped_at=now, trip=trip)
    _store(connection, tripped)
    facts.set_finding(connection, drain.appliance_id, "", FINDING, f"the drain is stopped: {trip.reason}", now)
    return tripped


def release(connection: Connection, drain: DrainState, now: float) -> DrainState:
    """The drain goes on: a recipient is accepted again, or an operator said so."""
    released = replace(drain, tripped_at=None, trip=None)
    _store(connection, released)
    facts.set_finding(connection, drain.appliance_id, "", FINDING, None, now)
    return released


def close(connection: Connection, appliance_id: int) -> None:
    """The window has closed, and what was provisional has become failures."""
    connection.execute(delete(drains).where(drains.c.appliance_id == appliance_id))


def _store(connection: Connection, drain: DrainState) -> None:
    connection.execute(update(drains).where(drains.c.appliance_id == drain.appliance_id).values(_row(drain)))


def _row(drain: DrainState) -> dict[str, Any]:
    trip = drain.trip or Trip("", (), False)
    return {
        "appliance_id": drain.appliance_id,
        "returned_at": drain.returned_at,
        "window_until": drain.window_until,
        "tripped_at": drain.tripped_at,
        "reason": trip.reason,
        "addresses": list(trip.addresses),
        "known": trip.known,
        "taken_at": drain.taken_at,
    }


def _state(row: Row[Any]) -> DrainState:
    trip = None if row.tripped_at is None else Trip(row.reason, tuple(row.addresses), row.known)
    return DrainState(row.appliance_id, row.returned_at, row.window_until, row.tripped_at, trip, row.taken_at)
