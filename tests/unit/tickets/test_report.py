"""The figures of a month, against one that was made up (november.py) and reckoned by hand."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.tickets.month import Month
from relay.tickets.report import Kept, Mail, Result, courses, customer_month
from relay.tickets.spans import Span, common, joined, seconds
from relay.tickets.words import cause
from tests.unit.tickets.november import MONTH, SUBJECTS, TERMS, TICKETS, moment, november

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


def test_outages_count_with_their_part_of_the_month() -> None:
    """Minutes without the primary, covered and announced; what runs over an edge counts inside it."""
    told = {
        line.id: tuple(round(seconds(spans) / MINUTE) for spans in (line.down, line.covered, line.planned))
        for line in november().outages
    }
    assert told == {1: (30, 30, 0), 3: (40, 0, 30), 2: (170, 130, 0), 4: (60, 50, 0)}
    assert november().without == 300 * MINUTE
    assert november().covered == 210 * MINUTE
    assert november().planned == 30 * MINUTE
    assert november().watched == 2 * 30 * DAY


def test_outages_are_in_the_order_in_which_they_began() -> None:
    """With their end where they have one by the month's end, and the cause in plain words."""
    lines = november().outages
    assert [line.id for line in lines] == [1, 3, 2, 4]
    assert [line.ended_at for line in lines] == [moment("1 00:30"), moment("10 10:40"), moment("14 05:00"), None]
    assert lines[1].cause == "It could be reached, but its mail service was not running."
    assert lines[2].cause == "It could not be reached over the network."


def test_mail_counts_where_its_outage_began() -> None:
    """An outage over the edge brings its mail to one month alone."""
    assert [line.mail for line in november().outages] == [None, Mail(66, 66), Mail(1234, 1200, 30), Mail(20, 0, 20)]
    assert november().mail == Mail(1320, 1266, 50)
    october = customer_month(
        "Acme Ltd", SUBJECTS, TICKETS, Month.parse("2026-10", "Europe/Berlin"), TERMS, moment("12-15 12:00")
    )
    assert (october.mail, october.without, october.covered) == (Mail(500, 500), 30 * MINUTE, 25 * MINUTE)


def test_each_clock_is_met_late_or_missed() -> None:
    """With what it took, and by how much it was late, in the hours that count."""
    lines = {line.id: line for line in november().tickets}
    told = {
        (number, place): tuple((clock.result, round(clock.late / MINUTE)) for clock in (one.acknowledge, one.respond))
        for number, line in lines.items()
        for place, one in enumerate(line.cycles)
    }
    assert told == {
        (10, 0): ((Result.MET, 0), (Result.MET, 0)),
        (11, 0): ((Result.ENDED, 0), (Result.ENDED, 0)),
        (12, 0): ((Result.MET, 0), (Result.LATE, 25)),
        (13, 0): ((Result.ENDED, 0), (Result.ENDED, 0)),
        (13, 1): ((Result.MET, 0), (Result.MET, 0)),
        (14, 0): ((Result.LATE, 150), (Result.MISSED, 48 * 60)),
        (15, 0): ((Result.OPEN, 0), (Result.OPEN, 0)),
    }
    assert lines[12].cycles[0].acknowledge.took == 12 * MINUTE
    assert (lines[12].resolved_at, lines[14].resolved_at) == (moment("10 11:30"), None)
    assert november().acknowledged == Kept(met=2, missed=1)
    assert november().responded == Kept(met=1, missed=2)
    assert november().breaches == 3


def test_what_happens_later_changes_nothing_in_a_month() -> None:
    """Told a minute after its end or years later, it is the same."""
    assert november("12-01 00:01") == november("12-31 12:00")
    december = customer_month(
        "Acme Ltd", SUBJECTS, TICKETS, Month.parse("2026-12", "Europe/Berlin"), TERMS, moment("12-31 12:00")
    )
    (late,) = [line for line in december.tickets if line.id == 15]
    assert late.cycles[0].acknowledge.result is Result.LATE
    assert december.acknowledged == Kept(met=0, missed=1)


def test_a_month_that_is_not_over_is_told_so_far() -> None:
    """Up to now, with nothing of what is to come."""
    so_far = november("14 02:30")
    assert so_far.period == Span(moment("1 00:00"), moment("14 02:30"))
    assert [line.id for line in so_far.outages] == [1, 3, 2]
    assert (so_far.outages[-1].ended_at, so_far.without) == (None, 100 * MINUTE)
    assert [line.id for line in so_far.tickets] == [10, 11, 12, 13]


def test_a_month_without_anything_is_quiet() -> None:
    """No outage, no ticket, no figure but nought."""
    quiet = customer_month("Acme Ltd", [replace(SUBJECTS[0], outages=())], [], MONTH, TERMS, moment("12-15 12:00"))
    assert (quiet.quiet, quiet.without, quiet.mail, quiet.breaches) == (True, 0, Mail(), 0)


def test_an_appliance_that_is_new_is_watched_from_then_on() -> None:
    """The share of the month doesn't count days on which nobody looked."""
    new = replace(SUBJECTS[0], appliance=replace(SUBJECTS[0].appliance, created_at=moment("21 00:00")))
    assert customer_month("Acme Ltd", [new], [], MONTH, TERMS, moment("12-15 12:00")).watched == 10 * DAY


@given(st.floats(moment("14 01:00"), moment("14 06:00")))
def test_splitting_a_period_changes_nothing(middle: float) -> None:
    """What an outage counts in two parts of a period adds up to the whole."""
    past = SUBJECTS[0].outages[1]
    begins, ends = moment("14 01:00"), moment("14 06:00")
    for spans in courses(past, ends):
        parts = [common(spans, [part]) for part in (Span(begins, middle), Span(middle, ends))]
        assert sum(map(seconds, parts)) == pytest.approx(seconds(spans))


pieces = st.lists(st.builds(lambda begins, long: Span(begins, begins + long), st.integers(0, 50), st.integers(0, 20)))


@given(pieces, pieces)
def test_spans_are_sets_of_moments(some: list[Span], others: list[Span]) -> None:
    """Joining and comparing them says of each moment what one would say of it alone."""
    for at in range(75):
        there, too = (any(begins <= at < ends for begins, ends in spans) for spans in (some, others))
        assert any(begins <= at < ends for begins, ends in joined(some)) is there
        assert any(begins <= at < ends for begins, ends in common(some, others)) is (there and too)
    apart = joined(some)
    assert all(one.ends < other.begins for one, other in pairwise(apart))


@pytest.mark.parametrize(
    ("text", "days"),
    [("2026-02", 28), ("2028-02", 29), ("2026-03", 31 - 1 / 24), ("2026-10", 31 + 1 / 24), ("2026-12", 31)],
)
def test_months_are_those_of_the_desk(text: str, days: float) -> None:
    """From midnight to midnight, an hour shorter or longer where the clock changes."""
    month = Month.parse(text, "Europe/Berlin")
    assert (month.ends - month.begins) / DAY == pytest.approx(days)
    assert (month.days()[0].begins, month.days()[-1].ends) == (month.begins, month.ends)
    assert Month.at(month.begins, "Europe/Berlin") == Month.at(month.ends - 1, "Europe/Berlin") == month


@pytest.mark.parametrize("text", ["2026", "2026-13", "2026-1", "november", "0000-01", "9999-12"])
def test_what_is_no_month_is_refused(text: str) -> None:
    """With how to say it."""
    with pytest.raises(ValueError, match="should be a month such as 2026-11"):
        Month.parse(text, "UTC")


def test_a_cause_that_is_not_known_is_still_a_sentence() -> None:
    """A customer never reads a reply code."""
    assert cause("550 5.7.1 what ever") == "It took no mail."
