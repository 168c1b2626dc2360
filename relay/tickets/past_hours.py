"""The hours that the desk had, and when, so that a clock of last month shows the same after they were changed.

What [support] says of hours, time zone and holidays is kept with the moment from which the node that looks after the
clocks (relay.tickets.warnings) goes by it. What it said first counts for all the time before, too. Who reads clocks
goes by what is kept, and by the own settings, where they differ, from now on alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from math import inf

from sqlalchemy import Connection, insert, select

from relay.hours import Calendar
from relay.tickets.plan import Hours, Said, Terms
from relay.tickets.tables import desk_hours


@dataclass(frozen=True, slots=True)
class Succession:
    """Calendars one after the other, each with the moment from which it counts, up to the next one's; the first one
    counts for what was before, too. Measures as a Calendar does."""

    parts: Sequence[tuple[float, Hours]]

    def business_seconds(self, start: float, end: float) -> float:
        """Open seconds between two moments; 0 where ``end`` isn't after ``start``."""
        return sum(
            calendar.business_seconds(max(start, begins), min(end, ends)) for begins, ends, calendar in self._spans()
        )

    def add_business_seconds(self, start: float, seconds: float) -> float | None:
        """The first moment by which ``seconds`` open ones have passed since ``start``; None where they never do."""
        for begins, ends, calendar in self._spans():
            at = max(start, begins)
            if ends != inf:
                run = calendar.business_seconds(at, ends)
                if run < seconds:
                    seconds -= run
                    continue
            if at < ends:
                return calendar.add_business_seconds(at, seconds)
        return None

    def _spans(self) -> Iterator[tuple[float, float, Hours]]:
        """From when, until when: which."""
        starts = [-inf, *(since for since, _ in self.parts[1:]), inf]
        for (begins, ends), (_, calendar) in zip(pairwise(starts), self.parts, strict=True):
            yield begins, ends, calendar


def held(connection: Connection, terms: Terms, now: float) -> Terms:
    """``terms`` with the hours that the desk had before."""
    if terms.said is None:
        return terms
    kept = _kept(connection)
    if kept and kept[-1][1] != terms.said:
        kept.append((max(now, kept[-1][0]), terms.said))
    if len(kept) < 2:
        return terms
    return dataclasses.replace(terms, hours=Succession([(since, _calendar(said, terms)) for since, said in kept]))


def differ(connection: Connection, terms: Terms) -> bool:
    """Whether others are kept than ``terms`` has, or none."""
    kept = _kept(connection)
    return terms.said is not None and (not kept or kept[-1][1] != terms.said)


def keep(connection: Connection, terms: Terms, now: float) -> None:
    """From now on the desk has these hours; where none were kept before, it always had them."""
    kept = _kept(connection)
    if terms.said is None or (kept and kept[-1][1] == terms.said):
        return
    since = max(now, kept[-1][0] + 1.0) if kept else 0.0  # in order, whatever the clock does
    hours, timezone, holidays = terms.said
    connection.execute(insert(desk_hours).values(since=since, hours=hours, timezone=timezone, holidays=holidays))


def _kept(connection: Connection) -> list[tuple[float, Said]]:
    rows = connection.execute(select(desk_hours).order_by(desk_hours.c.since))
    return [(row.since, (row.hours, row.timezone, row.holidays)) for row in rows]


def _calendar(said: Said, terms: Terms) -> Hours:
    """As it was said, or as much of it as is known here: without the holidays, else the desk's own. Clocks there must
    be."""
    for known in (said, said[:2]):
        with suppress(ValueError):
            return Calendar.parse(*known)
    return terms.hours
