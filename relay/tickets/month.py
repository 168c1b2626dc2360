"""A month as the desk counts it: in its own time zone, from midnight to midnight. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from relay.tickets.spans import Span

NAMES = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


@dataclass(frozen=True, slots=True)
class Month:
    """Made by :meth:`parse` or :meth:`at`."""

    year: int
    number: int
    zone: ZoneInfo

    @classmethod
    def parse(cls, text: str, timezone: str) -> Month:
        """``2026-11``. Raises ValueError with a sentence."""
        match = re.fullmatch(r"(\d{4})-(\d{2})", text.strip())
        if not match or not 1 <= int(match[2]) <= 12 or not 1970 <= int(match[1]) <= 9998:
            raise ValueError(f"{text!r} should be a month such as 2026-11")
        return cls(int(match[1]), int(match[2]), ZoneInfo(timezone))

    @classmethod
    def at(cls, now: float, timezone: str) -> Month:
        """The month in which ``now`` lies."""
        local = datetime.fromtimestamp(now, ZoneInfo(timezone))
        return cls(local.year, local.month, local.tzinfo)  # type: ignore[arg-type]

    def __str__(self) -> str:
        return f"{self.year:04}-{self.number:02}"

    @property
    def title(self) -> str:
        return f"{NAMES[self.number - 1]} {self.year}"

    @property
    def begins(self) -> float:
        return datetime(self.year, self.number, 1, tzinfo=self.zone).timestamp()

    @property
    def ends(self) -> float:
        year, number = divmod(self.year * 12 + self.number, 12)
        return datetime(year, number + 1, 1, tzinfo=self.zone).timestamp()

    def so_far(self, now: float) -> Span:
        """The part of it that has passed at ``now``; empty where it is yet to come."""
        return Span(self.begins, max(self.begins, min(now, self.ends)))

    def days(self) -> list[Span]:
        """Its days, of 23, 24 or 25 hours."""
        starts = []
        for day in range(1, 32):
            try:
                starts.append(datetime(self.year, self.number, day, tzinfo=self.zone).timestamp())
            except ValueError:  # it has fewer
                break
        return [Span(start, end) for start, end in zip(starts, [*starts[1:], self.ends], strict=True)]
