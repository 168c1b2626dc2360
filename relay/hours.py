"""Business hours: when somebody is at work, in their own time zone and with their own holidays.

Two calendars rest on this: the customer's (is a takeover allowed?) and the desk's (do P2 and P3 clocks run?).

Promises: pure and shared between threads; measuring is exact to the microsecond for present-day times, so that an
interval measured in pieces adds up, and :meth:`Calendar.add_business_seconds` is the inverse of
:meth:`Calendar.business_seconds`. Opening hours are computed a year at a time, kept, and then found by bisection.

Hours are local wall times. Where a clock change makes one of them special:
- a time that doesn't exist (02:30 in spring) is the moment of the change;
- a time that exists twice (01:30 in autumn) is the first of the two where hours begin, and the second where they end;
- midnight is always the first: a day that follows a closing at 24:00 keeps its own rules.
Seconds are real ones: hours from 22:00 to 06:00 last nine hours in an autumn night.

A holiday is closed from midnight to midnight, also for hours that began the evening before. ``always`` knows no
holidays; ``Mon-Sun 00:00-24:00`` does.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

HORIZON = 2 * 366 * 86400.0
"""Seconds: an opening or a closing further away than that is 'never'."""

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MIDNIGHT = 24 * 60
_EXAMPLE = "for example 'Mon-Fri 09:00-18:00', 'Mon-Thu 09:00-18:00; Fri 09:00-14:00', 'always' or 'none'"
_PART = re.compile(
    r"(?:(?P<first>[A-Za-z]+)(?:\s*[-–]\s*(?P<last>[A-Za-z]+))?)?\s*"
    r"(?:(?P<opens>\d{1,2}:\d{2})\s*[-–]\s*(?P<closes>\d{1,2}:\d{2}))?"
)

Week = tuple[tuple[tuple[int, int], ...], ...]
"""For each day from Monday: its (opening, closing) in minutes since local midnight, at most 1440."""


class Calendar:
    """Opening hours of a week, a time zone and holidays. Made by :meth:`parse`; never changes."""

    __slots__ = ("_always", "_countries", "_dates", "_table", "_week", "_zone")

    def __init__(
        self, week: Week, zone: ZoneInfo, countries: tuple[str, ...], dates: frozenset[date], always: bool
    ) -> None:
        self._week = week
        self._zone = zone
        self._countries = countries
        self._dates = dates
        self._always = always
        self._table: _Table | None = None

    @staticmethod
    def parse(hours: str, timezone: str = "UTC", holidays: str = "") -> Calendar:
        """The calendar that the three texts mean; the same texts give the same object.

        ``hours``: ``always``, ``none``, or parts separated by ``;`` or ``,``, each days and a span: ``Mon-Fri
        09:00-18:00``. Days may wrap around (``Sun-Thu``), a span may run over midnight (``22:00-06:00``) or end at
        ``24:00``; a span without days belongs to the days before it, or to every day.
        ``timezone``: an IANA name. ``holidays``: country codes, with a subdivision where there is one (``IL``,
        ``DE-BY``), and single dates (``2026-12-24``), separated by commas; empty for none.

        Raises ValueError, one sentence that names the part that is wrong.
        """
        return _parse(hours.strip(), timezone.strip(), holidays.strip())

    def is_open(self, at: float) -> bool:
        """Whether ``at`` (POSIX seconds) lies within the hours: from the opening on, up to but without the closing."""
        if self._always:
            return True
        table = self._covering(at)
        found = bisect_right(table.starts, at) - 1
        return found >= 0 and at < table.ends[found]

    def next_opening(self, at: float) -> float | None:
        """The first moment from ``at`` on that is open: ``at`` itself where it is; None for never."""
        if self._always:
            return at
        for table in self._onwards(at):
            found = bisect_right(table.ends, at)
            if found < len(table.starts):
                opening = max(at, table.starts[found])
                return opening if opening <= at + HORIZON else None
            if table.upper > at + HORIZON:
                break
        return None

    def next_closing(self, at: float) -> float | None:
        """The first moment from ``at`` on that is closed: ``at`` itself where it is; None for never."""
        if self._always:
            return None
        if not self.is_open(at):
            return at
        for table in self._onwards(at):
            closing = table.ends[bisect_right(table.starts, at) - 1]
            if closing < table.upper:
                return closing if closing <= at + HORIZON else None
            if table.upper > at + HORIZON:
                break
        return None

    def business_seconds(self, start: float, end: float) -> float:
        """Open seconds between two moments; 0 where ``end`` isn't after ``start``."""
        if end <= start:
            return 0.0
        if self._always:
            return end - start
        table = self._covering(start, end)
        return table.measured(end) - table.measured(start)

    def add_business_seconds(self, start: float, seconds: float) -> float | None:
        """The first moment by which ``seconds`` open ones have passed since ``start``; None where they never do."""
        if seconds <= 0:
            return start
        if self._always:
            return start + seconds
        for table in self._onwards(start):
            wanted = table.measured(start) + seconds
            if wanted <= table.total:
                found = bisect_left(table.before, wanted) - 1
                return max(start, table.starts[found] + (wanted - table.before[found]))
        return None

    def _onwards(self, at: float) -> Iterator[_Table]:
        """Tables that cover ``at``, each a year longer than the one before; none where the week has no hours."""
        if any(self._week):
            table = self._covering(at)
            while True:
                yield table
                table = self._covering(at, table.upper)

    def _covering(self, *moments: float) -> _Table:
        """The table, extended to the local years of all ``moments``.

        Two threads that extend it at the same time do the same work twice, and either result serves.
        """
        table = self._table
        if table is not None and all(table.lower <= at < table.upper for at in moments):
            return table
        years = [datetime.fromtimestamp(at, self._zone).year for at in moments]
        if table is not None:
            years += [table.first_year, table.last_year]
        self._table = table = self._build(min(years), max(years))
        return table

    def _build(self, first_year: int, last_year: int) -> _Table:
        closed = self._dates | _public_holidays(self._countries, first_year, last_year)
        starts, ends = array("d"), array("d")
        day = date(first_year, 1, 1)
        while day.year <= last_year:
            for opens, closes in self._week[day.weekday()] if day not in closed else ():
                start, end = self._instant(day, opens, last=False), self._instant(day, closes, last=closes < _MIDNIGHT)
                if ends and start <= ends[-1]:
                    ends[-1] = max(ends[-1], end)
                elif start < end:
                    starts.append(start)
                    ends.append(end)
            day += timedelta(days=1)
        before, total = array("d"), 0.0
        for start, end in zip(starts, ends, strict=True):
            before.append(total)
            total += end - start
        lower = self._instant(date(first_year, 1, 1), 0, last=False)
        upper = self._instant(date(last_year + 1, 1, 1), 0, last=False)
        return _Table(first_year, last_year, lower, upper, starts, ends, before, total)

    def _instant(self, day: date, minute: int, *, last: bool) -> float:
        """POSIX seconds of a local wall time; ``last``: the second one where it exists twice (PEP 495)."""
        wall = datetime(day.year, day.month, day.day, tzinfo=self._zone) + timedelta(minutes=minute)
        folded = wall.replace(fold=1)
        if wall.utcoffset() == folded.utcoffset():
            return wall.timestamp()
        first, second = wall.timestamp(), folded.timestamp()
        if first < second:
            return second if last else first
        # The wall time is skipped: the change lies between its two readings.
        old = datetime.fromtimestamp(second, self._zone).utcoffset()
        between = range(int(second), int(first))
        changed = bisect_left(between, True, key=lambda at: datetime.fromtimestamp(at, self._zone).utcoffset() != old)
        return second + changed


class _Table(NamedTuple):
    """The opening hours of whole local years: windows in order, none touching the next, in POSIX seconds."""

    first_year: int
    last_year: int
    lower: float
    upper: float
    starts: array[float]
    ends: array[float]
    before: array[float]
    """Open seconds of the table before each window. All of them are whole numbers, so sums lose nothing."""
    total: float

    def measured(self, at: float) -> float:
        """Open seconds from the beginning of the table up to ``at``."""
        found = bisect_right(self.starts, at) - 1
        if found < 0:
            return 0.0
        return self.before[found] + (min(at, self.ends[found]) - self.starts[found])


@lru_cache(maxsize=4096)
def _parse(hours: str, timezone: str, holidays: str) -> Calendar:
    countries, dates = _parse_holidays(holidays)
    week = _parse_week(hours)
    return Calendar(week, _parse_zone(timezone), countries, dates, hours.lower() == "always")


def _parse_week(hours: str) -> Week:
    week: list[set[tuple[int, int]]] = [set() for _ in _DAYS]
    if hours.lower() == "always":
        return (((0, _MIDNIGHT),),) * 7
    if hours.lower() == "none":
        return ((),) * 7
    if not hours:
        raise ValueError(f"the hours are empty; say {_EXAMPLE}")
    waiting: list[int] = []  # days that still wait for their span: 'Mon, Wed 09:00-12:00'
    days: list[int] = list(range(7))
    for part in re.split(r"[;,]", hours):
        match = _PART.fullmatch(part.strip())
        if match is None or not match[0]:
            raise ValueError(f"{part.strip()!r} in the hours {hours!r} is not understood; say {_EXAMPLE}")
        if match["first"]:
            first = _day(match["first"], hours)
            last = _day(match["last"] or match["first"], hours)
            waiting += [day % 7 for day in range(first, last + (1 if first <= last else 8))]
        if not match["opens"]:
            continue
        days, waiting = waiting or days, []
        opens, closes = _minutes(match["opens"], hours), _minutes(match["closes"], hours)
        if opens in (closes, _MIDNIGHT):
            raise ValueError(f"{part.strip()!r} in the hours opens and closes at once; a whole day is 00:00-24:00")
        for day in days:
            if opens < closes:
                week[day].add((opens, closes))
            else:
                week[day].add((opens, _MIDNIGHT))
                if closes:
                    week[(day + 1) % 7].add((0, closes))
    if waiting:
        raise ValueError(f"the hours {hours!r} end with days that have no times; say {_EXAMPLE}")
    return tuple(tuple(sorted(day)) for day in week)


def _day(name: str, hours: str) -> int:
    for number, day in enumerate(_DAYS):
        if len(name) >= 3 and day.startswith(name.lower()):
            return number
    raise ValueError(f"{name!r} in the hours {hours!r} is no day of the week; say {_EXAMPLE}")


def _minutes(time: str, hours: str) -> int:
    hour, minute = map(int, time.split(":"))
    if minute > 59 or hour * 60 + minute > _MIDNIGHT:
        raise ValueError(f"{time!r} in the hours {hours!r} is no time of day (00:00 to 24:00)")
    return hour * 60 + minute


def _parse_zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, malformed, a folder of zones
        raise ValueError(f"{name!r} is no time zone; say for example Europe/Berlin or Asia/Jerusalem") from None


def _parse_holidays(text: str) -> tuple[tuple[str, ...], frozenset[date]]:
    countries: list[str] = []
    dates: set[date] = set()
    for part in (part.strip() for part in text.split(",") if part.strip()):
        if part[0].isdigit():
            try:
                dates.add(date.fromisoformat(part))
            except ValueError:
                raise ValueError(f"{part!r} in the holidays is no date; say it like 2026-12-24") from None
        else:
            countries.append(part.upper())
    try:
        _public_holidays(tuple(countries), 2020, 2020)  # any year will do: it is only asked whether it knows the code
    except NotImplementedError as error:
        raise ValueError(
            f"{text!r} has no holidays that are known here ({error}); "
            "say a country, with a subdivision where needed, for example IL, DE-BY or US-CA"
        ) from None
    return tuple(countries), frozenset(dates)


def _public_holidays(countries: tuple[str, ...], first_year: int, last_year: int) -> frozenset[date]:
    """Raises NotImplementedError for a code that the library doesn't know."""
    if not countries:
        return frozenset()
    from holidays import country_holidays  # here, for it takes a tenth of a second that most commands needn't wait

    found: set[date] = set()
    for code in countries:
        country, _, subdivision = code.partition("-")
        found.update(country_holidays(country, subdiv=subdivision or None, years=range(first_year, last_year + 1)))
    return frozenset(found)
