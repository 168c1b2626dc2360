"""Business hours: what counts as open, over days, nights, holidays and changes of the clock."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.hours import Calendar

HOUR = 3600.0
DAY = 24 * HOUR

OFFICE = "Mon-Fri 09:00-18:00"


def moment(text: str, zone: str = "UTC", fold: int = 0) -> float:
    """POSIX seconds of a local time such as '2026-11-27 16:50'."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


def local(at: float | None, zone: str = "UTC") -> str | None:
    return None if at is None else datetime.fromtimestamp(at, ZoneInfo(zone)).strftime("%a %Y-%m-%d %H:%M")


@pytest.mark.parametrize(
    ("hours", "at", "expected"),
    [
        (OFFICE, "2026-11-23 08:59", False),  # a Monday
        (OFFICE, "2026-11-23 09:00", True),
        (OFFICE, "2026-11-23 17:59", True),
        (OFFICE, "2026-11-23 18:00", False),
        (OFFICE, "2026-11-28 12:00", False),
        ("Sun-Thu 09:00-18:00", "2026-11-29 12:00", True),
        ("Sun-Thu 09:00-18:00", "2026-11-27 12:00", False),
        ("Mon-Thu 09:00-18:00; Fri 09:00-14:00", "2026-11-27 13:00", True),
        ("Mon-Thu 09:00-18:00, Fri 09:00-14:00", "2026-11-27 15:00", False),
        ("Mon-Fri 09:00-12:30, 13:30-18:00", "2026-11-24 13:00", False),
        ("Mon-Fri 09:00-12:30, 13:30-18:00", "2026-11-24 13:30", True),
        ("Mon, Wed 09:00-12:00", "2026-11-25 10:00", True),
        ("Mon, Wed 09:00-12:00", "2026-11-24 10:00", False),
        ("Fri 22:00-06:00", "2026-11-28 05:59", True),
        ("Fri 22:00-06:00", "2026-11-28 06:00", False),
        ("Fri 22:00-06:00", "2026-11-27 05:59", False),
        ("Sun 22:00-06:00", "2026-11-23 01:00", True),
        ("monday - FRIDAY 9:00 - 24:00", "2026-11-27 23:59", True),
        ("08:00-20:00", "2026-11-29 08:00", True),
        ("always", "2026-11-29 03:00", True),
        ("none", "2026-11-25 10:00", False),
    ],
)
def test_hours_are_read_as_people_write_them(hours: str, at: str, expected: bool) -> None:
    """Each way of writing hours opens and closes where a reader would expect it."""
    assert Calendar.parse(hours).is_open(moment(at)) is expected


@pytest.mark.parametrize(
    ("hours", "timezone", "holidays", "named"),
    [
        ("", "UTC", "", "empty"),
        ("Mon-Fri", "UTC", "", "no times"),
        ("Mon-Fri 9-18", "UTC", "", "'Mon-Fri 9-18'"),
        ("Mon-Fri 09:00-18:00; Foo 09:00-12:00", "UTC", "", "'Foo'"),
        ("Mo 09:00-18:00", "UTC", "", "'Mo'"),
        ("Mon 09:00-25:00", "UTC", "", "'25:00'"),
        ("Mon 09:60-10:00", "UTC", "", "'09:60'"),
        ("Mon 09:00-09:00", "UTC", "", "00:00-24:00"),
        ("Mon 24:00-09:00", "UTC", "", "'Mon 24:00-09:00'"),
        ("Mon 09:00-18:00;;", "UTC", "", "''"),
        (OFFICE, "Mars/Olympus", "", "'Mars/Olympus'"),
        (OFFICE, "../../etc/passwd", "", "time zone"),
        (OFFICE, "", "", "time zone"),
        (OFFICE, "UTC", "XX", "XX"),
        (OFFICE, "UTC", "DE-ZZ", "ZZ"),
        (OFFICE, "UTC", "IL, 2026-13-01", "'2026-13-01'"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(hours: str, timezone: str, holidays: str, named: str) -> None:
    """Hours, zones and holidays that make no sense are refused in one sentence that names the part."""
    with pytest.raises(ValueError, match=r".") as refused:
        Calendar.parse(hours, timezone, holidays)
    assert named in str(refused.value)
    assert "\n" not in str(refused.value)


def test_holidays_are_closed_from_midnight_to_midnight() -> None:
    """A public holiday, one of a subdivision and a date of one's own are closed, also for the night before."""
    bavaria = Calendar.parse(OFFICE, "Europe/Berlin", "DE-BY, 2026-12-24")
    assert not bavaria.is_open(moment("2026-01-06 12:00", "Europe/Berlin"))  # Epiphany
    assert Calendar.parse(OFFICE, "Europe/Berlin", "DE").is_open(moment("2026-01-06 12:00", "Europe/Berlin"))
    assert not bavaria.is_open(moment("2026-12-24 12:00", "Europe/Berlin"))
    assert local(bavaria.next_opening(moment("2026-12-23 18:00", "Europe/Berlin")), "Europe/Berlin") == (
        "Mon 2026-12-28 09:00"
    )
    nights = Calendar.parse("22:00-06:00", "UTC", "2026-11-25")
    assert local(nights.next_closing(moment("2026-11-24 23:00"))) == "Wed 2026-11-25 00:00"
    assert local(nights.next_opening(moment("2026-11-25 00:00"))) == "Thu 2026-11-26 00:00"
    assert Calendar.parse("always", "UTC", "2026-11-25").is_open(moment("2026-11-25 12:00"))


def test_israel_opens_on_sunday_after_its_new_year() -> None:
    """A week from Sunday to Thursday in Israel skips Rosh Hashanah, and reckons in Israel's time."""
    calendar = Calendar.parse("Sun-Thu 09:00-18:00", "Asia/Jerusalem", "IL")
    thursday = moment("2026-09-10 18:00", "Asia/Jerusalem")
    assert local(calendar.next_opening(thursday), "Asia/Jerusalem") == "Mon 2026-09-14 09:00"
    assert local(calendar.next_opening(thursday)) == "Mon 2026-09-14 06:00"


def test_next_opening_and_closing() -> None:
    """An open moment is its own next opening; closing is the end of the last of adjoining hours; never is None."""
    office = Calendar.parse(OFFICE)
    friday = moment("2026-11-27 16:50")
    assert office.next_opening(friday) == friday
    assert local(office.next_closing(friday)) == "Fri 2026-11-27 18:00"
    assert local(office.next_opening(moment("2026-11-27 18:00"))) == "Mon 2026-11-30 09:00"
    saturday = moment("2026-11-28 12:00")
    assert office.next_closing(saturday) == saturday
    weekend = Calendar.parse("Sat-Sun 00:00-24:00")
    assert local(weekend.next_closing(saturday)) == "Mon 2026-11-30 00:00"
    new_year = Calendar.parse("Thu 18:00-24:00; Fri 00:00-12:00")
    assert local(new_year.next_closing(moment("2026-12-31 20:00"))) == "Fri 2027-01-01 12:00"
    assert Calendar.parse("always").next_closing(friday) is None
    assert Calendar.parse("always").next_opening(friday) == friday
    assert Calendar.parse("Mon-Sun 00:00-24:00").next_closing(friday) is None
    assert Calendar.parse("none").next_opening(friday) is None
    assert Calendar.parse("none").next_closing(friday) == friday
    assert Calendar.parse("none").add_business_seconds(friday, 1) is None
    assert Calendar.parse("none").business_seconds(friday, friday + DAY) == 0


def test_an_opening_beyond_the_horizon_is_never() -> None:
    """An opening more than two years away counts as never, whatever else the calendar was asked before."""
    mondays = ",".join(
        datetime.fromtimestamp(moment("2025-12-29") + week * 7 * DAY, UTC).strftime("%Y-%m-%d") for week in range(240)
    )
    closed = Calendar.parse("Mon 09:00-10:00", "UTC", mondays)
    assert closed.next_opening(moment("2026-02-01 12:00")) is None
    assert local(closed.next_opening(moment("2029-02-01 12:00"))) == "Mon 2030-08-05 09:00"
    assert closed.next_opening(moment("2026-02-01 12:00")) is None


def test_friday_afternoon_continues_on_monday() -> None:
    """Business seconds stop at the closing and go on at the opening; a due time may be the closing itself."""
    office = Calendar.parse(OFFICE)
    friday = moment("2026-11-27 16:50")
    assert local(office.add_business_seconds(friday, HOUR)) == "Fri 2026-11-27 17:50"
    assert local(office.add_business_seconds(friday, 70 * 60)) == "Fri 2026-11-27 18:00"
    assert local(office.add_business_seconds(friday, 8 * HOUR)) == "Mon 2026-11-30 15:50"
    assert office.business_seconds(friday, moment("2026-11-30 15:50")) == 8 * HOUR
    assert office.business_seconds(moment("2026-11-30 15:50"), friday) == 0
    saturday = moment("2026-11-28 12:00")
    assert office.add_business_seconds(saturday, 1e-12) == saturday, "never before the start"
    assert local(office.add_business_seconds(friday, 3000 * HOUR)) == "Thu 2028-03-09 10:50"


@pytest.mark.parametrize(
    ("zone", "hours", "start", "end", "expected"),
    [
        # Berlin, 2026-03-29: 02:00 becomes 03:00. 2026-10-25: 03:00 becomes 02:00.
        ("Europe/Berlin", "22:00-06:00", "2026-03-28 22:00", "2026-03-29 06:00", 7 * HOUR),
        ("Europe/Berlin", "22:00-06:00", "2026-10-24 22:00", "2026-10-25 06:00", 9 * HOUR),
        ("Europe/Berlin", "Sun 02:15-02:45", "2026-03-29 00:00", "2026-03-29 12:00", 0),
        ("Europe/Berlin", "Sun 02:30-04:00", "2026-03-29 00:00", "2026-03-29 12:00", HOUR),
        ("Europe/Berlin", "Sun 01:00-02:30", "2026-03-29 00:00", "2026-03-29 12:00", HOUR),
        ("Europe/Berlin", "Sun 02:30-04:00", "2026-10-25 00:00", "2026-10-25 12:00", 2.5 * HOUR),
        ("Europe/Berlin", "Sun 01:00-02:30", "2026-10-25 00:00", "2026-10-25 12:00", 2.5 * HOUR),
        ("Europe/Berlin", OFFICE, "2026-10-23 18:00", "2026-10-26 18:00", 9 * HOUR),
        ("America/New_York", "Sun 00:00-24:00", "2026-11-01 00:00", "2026-11-02 00:00", 25 * HOUR),
        # Havana goes back from 01:00 to 00:00: Saturday ends at the first midnight.
        ("America/Havana", "Sat 12:00-24:00", "2026-10-31 12:00", "2026-11-01 12:00", 12 * HOUR),
        # Beirut goes forward from 00:00 to 01:00.
        ("Asia/Beirut", "Sun 00:00-02:00", "2026-03-28 12:00", "2026-03-29 12:00", HOUR),
        # Samoa had no 2011-12-30.
        ("Pacific/Apia", "09:00-17:00", "2011-12-29 00:00", "2012-01-01 00:00", 16 * HOUR),
    ],
)
def test_hours_follow_the_wall_clock(zone: str, hours: str, start: str, end: str, expected: float) -> None:
    """Changes of the clock lengthen and shorten hours as a clock on the wall would."""
    calendar = Calendar.parse(hours, zone)
    assert calendar.business_seconds(moment(start, zone), moment(end, zone)) == expected


def test_opening_in_a_skipped_hour_is_the_change_itself() -> None:
    """Hours that begin at a time that doesn't exist begin when the clock jumps over it."""
    calendar = Calendar.parse("Sun 02:30-04:00", "Europe/Berlin")
    assert calendar.next_opening(moment("2026-03-29 00:00", "Europe/Berlin")) == moment("2026-03-29 01:00")


calendars = st.builds(
    Calendar.parse,
    st.sampled_from(
        [
            OFFICE,
            "Sun-Thu 09:00-18:00",
            "22:00-06:00",
            "Mon-Fri 00:30-02:30, 13:00-17:45",
            "Sat-Sun 00:00-24:00",
            "Sun 01:00-03:30",
            "always",
            "Mon-Sun 00:00-24:00",
        ]
    ),
    st.sampled_from(["UTC", "Europe/Berlin", "Asia/Jerusalem", "America/Havana", "Asia/Kathmandu", "Pacific/Apia"]),
    st.sampled_from(["", "IL", "DE-BY, 2026-11-24"]),
)
moments = st.floats(moment("2024-01-01"), moment("2028-12-31"), allow_nan=False)
durations = st.floats(0.001, 40 * DAY)


@given(calendars, moments, moments, moments)
def test_splitting_an_interval_changes_nothing(calendar: Calendar, first: float, second: float, third: float) -> None:
    """What is measured in two pieces adds up to the whole, to the last bit but one."""
    start, middle, end = sorted((first, second, third))
    whole = calendar.business_seconds(start, end)
    pieces = calendar.business_seconds(start, middle) + calendar.business_seconds(middle, end)
    assert pieces == pytest.approx(whole, abs=1e-6)
    assert 0 <= whole <= end - start


@given(calendars, moments, durations)
def test_adding_is_the_inverse_of_measuring(calendar: Calendar, start: float, seconds: float) -> None:
    """After the added time exactly that many open seconds have passed, and a moment earlier fewer."""
    end = calendar.add_business_seconds(start, seconds)
    assert end is not None
    assert end > start
    assert calendar.business_seconds(start, end) == pytest.approx(seconds, abs=1e-5)
    assert calendar.business_seconds(start, end - 1e-3) < calendar.business_seconds(start, end)


@given(calendars, moments, durations, durations)
def test_more_time_is_never_due_earlier(calendar: Calendar, start: float, one: float, other: float) -> None:
    """Due times grow with the seconds asked for and with the start."""
    less, more = sorted((one, other))
    due_less, due_more = calendar.add_business_seconds(start, less), calendar.add_business_seconds(start, more)
    later = calendar.add_business_seconds(start + less, more)
    assert due_less is not None
    assert due_more is not None
    assert later is not None
    assert due_less <= due_more <= later


@given(calendars, moments)
def test_openings_and_closings_agree_with_is_open(calendar: Calendar, at: float) -> None:
    """Between a moment and its next opening all is closed, from there to the next closing all is open."""
    opening = calendar.next_opening(at)
    assert opening is not None
    assert calendar.is_open(opening)
    assert calendar.is_open(at) is (opening == at)
    assert calendar.business_seconds(at, opening) == 0
    closing = calendar.next_closing(opening)
    if closing is not None:
        assert not calendar.is_open(closing)
        assert calendar.business_seconds(opening, closing) == closing - opening


@given(st.text(max_size=30), st.text(max_size=12), st.text(max_size=12))
def test_garbage_is_refused_and_nothing_else(hours: str, timezone: str, holidays: str) -> None:
    """Any text at all either parses or raises ValueError."""
    try:
        Calendar.parse(hours, timezone, holidays)
    except ValueError as error:
        assert str(error)
