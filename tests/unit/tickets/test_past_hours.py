"""Time measured by hours that were changed."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.hours import Calendar
from relay.tickets.past_hours import Succession, held, keep
from relay.tickets.plan import Terms
from tests.support.clock import moment
from tests.support.database import make_database

HOUR = 3600.0
OFFICE = Calendar.parse("Mon-Fri 09:00-18:00", "Europe/Berlin")
LONG = Calendar.parse("Mon-Sat 08:00-20:00", "Europe/Berlin")
ALWAYS = Calendar.parse("always")
NEVER = Calendar.parse("none")
TUESDAY = moment("2026-11-24 12:00", "Europe/Berlin")


def test_each_time_counts_by_the_hours_that_held_then() -> None:
    """An evening counts from the change on; one before it never does."""
    desk = Succession([(0.0, OFFICE), (TUESDAY, LONG)])
    monday = moment("2026-11-23 16:00", "Europe/Berlin")
    evening = moment("2026-11-24 20:00", "Europe/Berlin")
    assert desk.business_seconds(monday, evening) == (2 + 3 + 8) * HOUR
    assert desk.add_business_seconds(monday, 6 * HOUR) == TUESDAY + HOUR
    assert desk.add_business_seconds(monday, 5 * HOUR) == TUESDAY
    assert desk.add_business_seconds(monday, 14 * HOUR) == moment("2026-11-25 09:00", "Europe/Berlin")


def test_a_desk_that_closes_for_good_reaches_nothing_more() -> None:
    """And one that opens for good reaches everything, whatever it missed before."""
    assert Succession([(0.0, OFFICE), (TUESDAY, NEVER)]).add_business_seconds(TUESDAY - HOUR, 2 * HOUR) is None
    assert Succession([(0.0, NEVER), (TUESDAY, ALWAYS)]).add_business_seconds(0.0, HOUR) == TUESDAY + HOUR


@pytest.mark.parametrize("said", [("always", "Mars/Base", ""), ("always", "UTC", "XX"), ("nonsense", "UTC", "")])
def test_hours_of_which_this_machine_knows_no_more_stop_no_clock(tmp_path: Path, said: tuple[str, str, str]) -> None:
    """Without the holidays that it doesn't know, or else by the desk's present hours, time goes on."""
    db = make_database(tmp_path)
    terms = Terms(ALWAYS, said=("always", "UTC", ""))
    with db.write() as connection:
        keep(connection, dataclasses.replace(terms, said=said), TUESDAY - HOUR)
        assert held(connection, terms, TUESDAY).hours.business_seconds(TUESDAY - HOUR, TUESDAY + HOUR) == 2 * HOUR
    db.close()


times = st.floats(TUESDAY - 400 * HOUR, TUESDAY + 400 * HOUR)
desks = st.lists(st.tuples(times, st.sampled_from([OFFICE, LONG, ALWAYS, NEVER])), min_size=1, max_size=4).map(
    lambda parts: Succession(sorted(parts, key=lambda part: part[0]))
)


@given(desks, st.lists(times, min_size=3, max_size=3))
def test_pieces_add_up(desk: Succession, moments: list[float]) -> None:
    """Wherever an interval is cut."""
    first, *_, last = moments = sorted(moments)
    pieces = sum(desk.business_seconds(start, end) for start, end in pairwise(moments))
    assert abs(desk.business_seconds(first, last) - pieces) < 1e-3


@given(desks, times, st.floats(1.0, 200 * HOUR))
def test_a_target_is_reached_when_its_time_is_up(desk: Succession, start: float, seconds: float) -> None:
    """The one way of measuring is the inverse of the other."""
    reached = desk.add_business_seconds(start, seconds)
    if reached is not None:
        assert abs(desk.business_seconds(start, reached) - seconds) < 1e-3
