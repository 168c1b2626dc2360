"""Proof ``space``: disk and quota last until the next opening hour, and at least 12 hours.

At the highest of three rates: that of now, that of the busiest hour of the last outage, and 1 % of the quota an hour,
which stands in for an outage that nobody has seen yet. The disk is shared: it has to bear what all appliances get.

The time looked at ends after 72 hours. Over a long holiday 1 % an hour would use up any quota on paper, and a
customer would be refused continuity for a backlog that nobody expects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from relay.appliances.model import Appliance, Domain
from relay.db import Database
from relay.hours import Calendar
from relay.queue.queue import Queue
from relay.queue.space import Rates, accept_rate

AT_LEAST = 12 * 3600.0
AT_MOST = 72 * 3600.0
FLOOR = 0.01
"""Of the quota, in an hour."""
UNKNOWN = (
    "how much room the database has left isn't known, since PostgreSQL can't say it;"
    " set [limits] database_capacity to what its volume has"
)


@dataclass(frozen=True, slots=True)
class Room:
    """What there is, in bytes: free on the disk (None: nobody knows), and for each domain its (quota, what waits).
    Rates in bytes an hour: the appliance's own, and ``node_rate``, what the whole node gets now. ``messages``: quotas
    that count those."""

    disk_free: int | None
    quotas: tuple[tuple[int, int], ...]
    rates: Rates
    node_rate: int
    messages: tuple[tuple[int, int], ...] = ()


def horizon(appliance: Appliance, now: float) -> float:
    """Seconds for which there has to be room."""
    opening = Calendar.parse(appliance.business_hours, appliance.timezone, appliance.holidays).next_opening(now)
    return min(max(AT_LEAST, 0.0 if opening is None else opening - now), AT_MOST)


def enough(room: Room, seconds: float) -> tuple[bool, str]:
    """Whether it holds, and the evidence."""
    if room.disk_free is None:
        return False, UNKNOWN
    hours = seconds / 3600
    quota = sum(limit for limit, _ in room.quotas)
    left = quota - sum(used for _, used in room.quotas)
    rate = max(room.rates.now, room.rates.busiest, int(quota * FLOOR), 1)
    disk_hours = room.disk_free / max(rate, room.node_rate)
    quota_hours = min(
        left / rate,
        *((limit - used) / max(limit * FLOOR, 1) for limit, used in room.quotas),
        *((limit - used) / (limit * FLOOR) for limit, used in room.messages),
    )
    found = f"at {_size(rate)} an hour the quota lasts {_hours(quota_hours)} and the disk {_hours(disk_hours)}"
    return min(disk_hours, quota_hours) >= hours, f"{found}; {_hours(hours)} are needed"


async def measure(
    db: Database, queue: Queue, appliance: Appliance, domains: Sequence[Domain], node_rate: int, now: float
) -> Room:
    """What there is now; ``node_rate``: bytes an hour that come for the other appliances."""
    rates = await db.run(accept_rate, appliance.id, now)
    waiting = [(domain, queue.depth_of_domain(domain.name)) for domain in domains]
    quotas = tuple((domain.quota, depth.bytes) for domain, depth in waiting)
    messages = tuple((domain.quota_messages, depth.messages) for domain, depth in waiting if domain.quota_messages)
    return Room(queue.disk_free(), quotas, rates, node_rate + rates.now, messages)


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    return f"{count:.0f} {unit}"


def _hours(hours: float) -> str:
    return f"{max(hours, 0):.0f} h" if hours < 1000 else "over 1000 h"
