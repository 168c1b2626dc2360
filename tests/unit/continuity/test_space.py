"""Whether there is room enough, and for how long there has to be."""

from __future__ import annotations

import pytest

from relay.continuity.proofs.space import Room, enough, horizon
from relay.queue.space import Rates
from tests.unit.continuity.outages import appliance, at

GB = 10**9
HOUR = 3600.0


@pytest.mark.parametrize(
    ("hours", "now", "needed"),
    [
        ("Mon-Fri 09:00-18:00", "2026-11-23 22:00", 12),  # Monday night: eleven hours, at least twelve
        ("Mon-Fri 09:00-18:00", "2026-11-27 18:00", 63),  # Friday evening: until Monday morning
        ("Mon-Fri 09:00-18:00", "2026-11-23 14:00", 12),  # open
        ("Mon 09:00-18:00", "2026-11-24 09:00", 72),  # six days: three are looked at
        ("none", "2026-11-23 14:00", 12),
        ("always", "2026-11-23 14:00", 12),
    ],
)
def test_it_has_to_last_until_the_next_opening_hour(hours: str, now: str, needed: int) -> None:
    """At least twelve hours, at most three days."""
    assert horizon(appliance(business_hours=hours), at(now)) == needed * HOUR


@pytest.mark.parametrize(
    ("room", "ok"),
    [
        (Room(100 * GB, ((10 * GB, 0),), Rates(0, 0), 0), True),
        # One per cent of the quota an hour is 100 MB: twelve hours of it on the disk.
        (Room(1_200_000_000, ((10 * GB, 0),), Rates(0, 0), 0), True),
        (Room(1_199_000_000, ((10 * GB, 0),), Rates(0, 0), 0), False),
        # The present rate, and that of the busiest hour of the last outage, count where they are higher.
        (Room(100 * GB, ((10 * GB, 0),), Rates(GB, 0), 0), False),
        (Room(100 * GB, ((10 * GB, 0),), Rates(0, GB), 0), False),
        # The disk bears what comes for everybody.
        (Room(100 * GB, ((10 * GB, 0),), Rates(0, 0), 9 * GB), False),
        # What waits already has used up the quota, of all domains or of one.
        (Room(100 * GB, ((10 * GB, 9 * GB),), Rates(0, 0), 0), False),
        (Room(100 * GB, ((10 * GB, 0), (GB, GB)), Rates(0, 0), 0), False),
        (Room(100 * GB, ((0, 0),), Rates(0, 0), 0), False),
        # A quota of messages counts like one of bytes.
        (Room(100 * GB, ((10 * GB, 0),), Rates(0, 0), 0, ((50, 10),)), True),
        (Room(100 * GB, ((10 * GB, 0),), Rates(0, 0), 0, ((50, 0), (50, 45))), False),
    ],
)
def test_room_for_twelve_hours(room: Room, ok: bool) -> None:
    """At the highest of three rates, disk and quota have to last."""
    found, evidence = enough(room, 12 * HOUR)
    assert found is ok
    assert "12 h are needed" in evidence


def test_room_that_nobody_knows_proves_nothing() -> None:
    """The evidence says what to set."""
    found, evidence = enough(Room(None, ((10 * GB, 0),), Rates(0, 0), 0), 12 * HOUR)
    assert not found
    assert "[limits] database_capacity" in evidence


def test_the_evidence_is_for_people() -> None:
    """Rates and hours in numbers that can be read aloud."""
    _, evidence = enough(Room(100 * GB, ((10 * GB, GB),), Rates(0, 0), 0), 12 * HOUR)
    assert evidence == "at 100 MB an hour the quota lasts 90 h and the disk over 1000 h; 12 h are needed"
