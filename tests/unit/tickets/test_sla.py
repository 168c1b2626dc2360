"""The SLA clocks: each rule of the support plan as a story with its due times."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.hours import Calendar
from relay.tickets.plan import Terms
from relay.tickets.sla import CLOCK_EVENTS, Cycle, SlaClock, cycles
from relay.tickets.states import RELAY, Event, Priority
from relay.tickets.ticket import Entry

BERLIN = ZoneInfo("Europe/Berlin")
OFFICE = Terms(Calendar.parse("Mon-Fri 09:00-18:00", "Europe/Berlin", "DE-BY"))
ALWAYS = Terms(Calendar.parse("always"))
NEVER = Terms(Calendar.parse("none"))
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


def moment(text: str) -> float:
    """'Fri 16:50' is in the week of 2026-11-23; else a date and a time, in Berlin."""
    day, time = text.split()
    if day in (names := ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")):
        day = f"2026-11-{23 + names.index(day)}"
    return datetime.fromisoformat(f"{day} {time}").replace(tzinfo=BERLIN).timestamp()


def story(*lines: str) -> list[Entry]:
    """A history from lines such as 'Fri 16:50 opened 3' or 'Mon 09:10 acknowledged by dana'."""
    entries = []
    for number, line in enumerate(lines):
        day, time, event, *rest = line.split()
        actor = rest[rest.index("by") + 1] if "by" in rest else RELAY
        after = rest[0] if rest and rest[0] in "123" else None
        at = moment(f"{day} {time}")
        data = {"since": at} if event in ("opened", "reopened") else {}
        entries.append(Entry(number, at, actor, Event(event), after=after, data=data))
    return entries


def shown(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, BERLIN).strftime("%Y-%m-%d %H:%M:%S")


def clocks(*lines: str, at: str, desk: Terms = OFFICE) -> Cycle:
    """The last cycle of a story, read at a moment."""
    return cycles(story(*lines), desk, moment(at))[-1]


@pytest.mark.parametrize(
    ("lines", "acknowledge", "respond"),
    [
        (["Fri 16:50 opened 1"], "Fri 17:50", "Fri 17:50"),
        (["Fri 16:50 opened 2"], "Fri 17:50", "2026-11-30 11:50"),
        (["Fri 16:50 opened 3"], "Fri 17:50", "2026-11-30 15:50"),
        (["Fri 17:00 opened 3"], "Fri 18:00", "2026-11-30 16:00"),
        (["Fri 17:30 opened 3"], "2026-11-30 09:30", "2026-11-30 16:30"),
        (["Sat 02:00 opened 1"], "Sat 03:00", "Sat 03:00"),
        (["Sat 02:00 opened 3"], "2026-11-30 10:00", "2026-11-30 17:00"),
        # Before Christmas: Friday 25 is a holiday, and so is Saturday 26.
        (["2026-12-24 17:30 opened 3"], "2026-12-28 09:30", "2026-12-28 16:30"),
        (["2026-12-24 17:30 opened 1"], "2026-12-24 18:30", "2026-12-24 18:30"),
        # Epiphany is a holiday in Bavaria.
        (["2026-01-05 17:00 opened 2"], "2026-01-05 18:00", "2026-01-07 12:00"),
        # Over the weekend on which the clocks go back, and the one on which they go forward.
        (["2026-10-23 17:30 opened 3"], "2026-10-26 09:30", "2026-10-26 16:30"),
        (["2026-03-27 17:30 opened 3"], "2026-03-30 09:30", "2026-03-30 16:30"),
        (["2026-10-25 01:30 opened 1"], "2026-10-25 02:30", "2026-10-25 02:30"),
    ],
)
def test_due_times(lines: list[str], acknowledge: str, respond: str) -> None:
    """P1 is due around the clock, P2 and P3 in the desk's hours, over nights, weekends and holidays."""
    cycle = clocks(*lines, at=" ".join(lines[0].split()[:2]))
    assert shown(cycle.acknowledge.due) == shown(moment(acknowledge))
    assert shown(cycle.respond.due) == shown(moment(respond))


def test_a_desk_that_never_closes_runs_every_clock_around_the_clock() -> None:
    """With hours 'always' a P3 of Saturday night is due on Sunday morning; with 'none' it is never due."""
    assert shown(clocks("Sat 23:00 opened 3", at="Sat 23:00", desk=ALWAYS).respond.due) == "2026-11-29 07:00:00"
    never = clocks("Sat 23:00 opened 3", at="2027-11-27 23:00", desk=NEVER)
    assert (never.respond.due, never.respond.elapsed, never.respond.marks) == (None, 0, ())


def test_the_clock_starts_when_the_trouble_began() -> None:
    """A ticket opened a minute after the failure has its clocks run from the failure."""
    opened = Entry(1, moment("Sat 02:01"), RELAY, Event.OPENED, after="1", data={"since": moment("Sat 02:00")})
    cycle = cycles([opened], OFFICE, moment("Sat 02:30"))[0]
    assert shown(cycle.acknowledge.due) == "2026-11-28 03:00:00"
    assert cycle.acknowledge.elapsed == 30 * MINUTE


def test_only_a_person_stops_a_clock() -> None:
    """What the relay writes stops nothing; an engineer's acknowledgment and response do, each its own."""
    lines = ["Mon 10:00 opened 2", "Mon 10:05 acknowledged by relay", "Mon 10:06 responded by relay"]
    assert clocks(*lines, at="Mon 10:30").acknowledge.met_at is None
    cycle = clocks(*lines, "Mon 10:20 acknowledged by dana", "Mon 12:00 responded by noa", at="Fri 12:00")
    assert shown(cycle.acknowledge.met_at) == "2026-11-23 10:20:00"
    assert shown(cycle.respond.met_at) == "2026-11-23 12:00:00"
    assert (cycle.acknowledge.elapsed, cycle.respond.elapsed) == (20 * MINUTE, 2 * HOUR)
    assert cycle.acknowledge.breached_at is cycle.respond.breached_at is None
    assert shown(cycle.respond.due) == "2026-11-23 14:00:00"


def test_marks_are_reached_in_turn_and_the_hour_itself_is_late() -> None:
    """50 % and 75 % and the breach carry the moment they were reached; exactly on the hour is a breach."""
    assert clocks("Sat 02:00 opened 1", at="Sat 02:29").acknowledge.marks == ()
    marks = clocks("Sat 02:00 opened 1", at="Sat 03:00").acknowledge.marks
    assert [(percent, shown(at)) for percent, at in marks] == [
        (50, "2026-11-28 02:30:00"),
        (75, "2026-11-28 02:45:00"),
        (100, "2026-11-28 03:00:00"),
    ]
    late = clocks("Sat 02:00 opened 1", "Sat 03:00 acknowledged by dana", at="Sat 04:00")
    assert shown(late.acknowledge.breached_at) == "2026-11-28 03:00:00"
    in_time = clocks("Sat 02:00 opened 1", "Sat 02:59 acknowledged by dana", at="Sat 04:00")
    assert in_time.acknowledge.breached_at is None


def test_lowering_keeps_the_start_and_applies_the_new_target() -> None:
    """An outage that is taken over at night is due in the desk's hours, as if it had been a P3 from the start."""
    cycle = clocks("Sat 02:00 opened 1", "Sat 02:01 priority 3", at="2026-11-30 12:00")
    assert shown(cycle.started_at) == "2026-11-28 02:00:00"
    assert shown(cycle.acknowledge.due) == "2026-11-30 10:00:00"
    assert shown(cycle.respond.due) == "2026-11-30 17:00:00"
    assert cycle.respond.elapsed == 3 * HOUR
    assert shown(cycle.acknowledge.breached_at) == "2026-11-30 10:00:00"
    by_day = clocks("Mon 10:00 opened 1", "Mon 10:40 priority 2", at="Mon 10:40")
    assert shown(by_day.acknowledge.due) == "2026-11-23 11:00:00"
    assert shown(by_day.respond.due) == "2026-11-23 14:00:00"


def test_a_breach_stays_on_record_when_the_priority_is_lowered() -> None:
    """Lowering a P1 after its hour doesn't undo the breach; lowering it before the hour avoids it."""
    cycle = clocks("Sat 02:00 opened 1", "Sat 03:30 priority 3", at="Sat 04:00")
    assert shown(cycle.acknowledge.breached_at) == "2026-11-28 03:00:00"
    assert shown(cycle.respond.breached_at) == "2026-11-28 03:00:00"
    assert shown(cycle.respond.due) == "2026-11-30 17:00:00"
    avoided = clocks("Sat 02:00 opened 1", "Sat 02:59 priority 3", at="Sat 04:00")
    assert avoided.respond.breached_at is None
    assert [percent for percent, _ in avoided.respond.marks] == [50, 75]


def test_raising_opens_a_new_cycle_and_keeps_the_old_one() -> None:
    """A P3 that becomes a P1 in the morning is to be acknowledged anew from that moment."""
    lines = [
        "Sat 02:00 opened 1",
        "Sat 02:01 priority 3",
        "2026-11-30 08:30 priority 1",
        "2026-11-30 08:40 acknowledged by dana",
    ]
    night, morning = cycles(story(*lines), OFFICE, moment("2026-11-30 10:00"))
    assert (night.number, night.priority, night.ended_at) == (0, Priority.P3, moment("2026-11-30 08:30"))
    assert night.acknowledge.met_at is night.acknowledge.breached_at is None
    assert (morning.number, morning.priority, morning.ended_at) == (1, Priority.P1, None)
    assert shown(morning.acknowledge.due) == "2026-11-30 09:30:00"
    assert shown(morning.acknowledge.met_at) == "2026-11-30 08:40:00"
    assert shown(morning.respond.breached_at) == "2026-11-30 09:30:00"


def test_raising_clears_the_acknowledgment_and_keeps_the_old_breach() -> None:
    """Who had acknowledged the old cycle late has still to acknowledge the new one, and was still late."""
    lines = ["Mon 10:00 opened 3", "Mon 11:30 acknowledged by dana", "Mon 15:00 priority 1"]
    old, new = cycles(story(*lines), OFFICE, moment("Mon 15:10"))
    assert shown(old.acknowledge.breached_at) == "2026-11-23 11:00:00"
    assert new.acknowledge.met_at is None
    assert shown(new.acknowledge.due) == "2026-11-23 16:00:00"


def test_waiting_for_the_customer_stops_p2_and_p3_but_never_p1() -> None:
    """A P3 that waits from ten to noon is due two hours later; while it waits it has no due time; a P1 goes on."""
    lines = ["Mon 09:00 opened 3", "Mon 10:00 waiting by dana"]
    waiting = clocks(*lines, at="Mon 11:00")
    assert (waiting.respond.due, waiting.respond.elapsed) == (None, HOUR)
    assert waiting.respond.marks == ()
    resumed = clocks(*lines, "Mon 12:00 resumed by dana", at="Mon 12:00")
    assert shown(resumed.respond.due) == "2026-11-24 10:00:00"
    over_night = clocks("Mon 17:00 opened 3", "Mon 17:30 waiting by dana", "Tue 09:30 resumed by dana", at="Tue 10:00")
    assert shown(over_night.acknowledge.due) == "2026-11-24 10:00:00"
    urgent = clocks("Mon 09:00 opened 1", "Mon 09:10 waiting by dana", at="Mon 10:00")
    assert shown(urgent.acknowledge.breached_at) == "2026-11-23 10:00:00"


def test_waiting_later_does_not_move_what_was_done() -> None:
    """The due time of a clock that was met is the one that was kept, whatever waits since."""
    cycle = clocks("Mon 09:00 opened 3", "Mon 09:30 acknowledged by dana", "Mon 09:40 waiting by dana", at="Mon 17:00")
    assert shown(cycle.acknowledge.due) == "2026-11-23 10:00:00"
    assert (cycle.respond.due, cycle.respond.elapsed) == (None, 40 * MINUTE)


def test_waiting_goes_on_through_a_raise() -> None:
    """A P3 that waits and becomes a P2 still waits; as a P1 its clock runs all the same."""
    lines = ["Mon 09:00 opened 3", "Mon 10:00 waiting by dana"]
    p2 = clocks(*lines, "Mon 11:00 priority 2", at="Mon 16:00")
    assert (p2.respond.due, p2.respond.elapsed) == (None, 0)
    back = clocks(*lines, "Mon 11:00 priority 2", "Mon 12:00 resumed by dana", at="Mon 12:30")
    assert shown(back.respond.due) == "2026-11-23 16:00:00"
    assert clocks(*lines, "Mon 11:00 priority 1", at="Mon 12:30").respond.elapsed == 1.5 * HOUR


def test_resolution_stops_the_clocks_and_reopening_starts_new_ones() -> None:
    """After the resolution nothing is breached any more; a reopened ticket has a cycle of its own."""
    lines = ["Sat 02:00 opened 1", "Sat 02:20 resolved"]
    resolved = clocks(*lines, at="Sat 12:00")
    assert (resolved.acknowledge.breached_at, resolved.acknowledge.elapsed) == (None, 20 * MINUTE)
    both = cycles(story(*lines, "Sat 03:00 reopened 1"), OFFICE, moment("Sat 03:30"))
    assert [cycle.ended_at is None for cycle in both] == [False, True]
    assert shown(both[1].acknowledge.due) == "2026-11-28 04:00:00"
    waited = ["Mon 09:00 opened 3", "Mon 10:00 waiting by dana", "Mon 11:00 resolved", "Mon 11:30 reopened 3"]
    assert shown(clocks(*waited, at="Mon 11:30").acknowledge.due) == "2026-11-23 12:30:00"


def test_a_clock_that_ran_backwards_between_two_processes_does_no_harm() -> None:
    """A line written with an earlier time than the one before counts as simultaneous with it."""
    cycle = clocks("Mon 10:00 opened 3", "Mon 10:30 waiting by dana", "Mon 10:29 resumed by dana", at="Mon 11:00")
    assert shown(cycle.acknowledge.due) == "2026-11-23 11:00:00"


steps = st.lists(
    st.tuples(
        st.floats(0, 30 * HOUR),
        st.sampled_from([event for event in CLOCK_EVENTS if event not in (Event.OPENED, Event.REOPENED)]),
        st.sampled_from(["1", "2", "3"]),
        st.sampled_from([RELAY, "dana"]),
    ),
    max_size=12,
)
desks = st.sampled_from([OFFICE, ALWAYS, NEVER, Terms(Calendar.parse("22:00-06:00", "Europe/Berlin"))])
starts = st.floats(moment("2026-10-20 00:00"), moment("2026-10-30 00:00"))


def history(start: float, priority: str, changes: list[tuple[float, Event, str, str]]) -> list[Entry]:
    """A legal history from random steps: nothing after the resolution but a reopening."""
    entries = [Entry(0, start, RELAY, Event.OPENED, after=priority, data={"since": start})]
    at, resolved = start, False
    for gap, event, after, actor in changes:
        at += gap
        if resolved:
            entries.append(Entry(len(entries), at, RELAY, Event.REOPENED, after=after, data={"since": at}))
        else:
            entries.append(Entry(len(entries), at, actor, event, after=after if event is Event.PRIORITY else None))
        resolved = not resolved and event is Event.RESOLVED
    return entries


def both(cycle: Cycle) -> tuple[SlaClock, SlaClock]:
    return cycle.acknowledge, cycle.respond


@given(starts, st.sampled_from("123"), steps, desks, st.floats(0, 60 * HOUR), st.floats(0, 60 * HOUR))
def test_no_clock_runs_backwards(
    start: float,
    priority: str,
    changes: list[tuple[float, Event, str, str]],
    desk: Terms,
    first: float,
    second: float,
) -> None:
    """For a given history, time elapsed only grows, marks only come, and each mark keeps its moment."""
    lines = history(start, priority, changes)
    now = lines[-1].at + min(first, second)
    before, after = cycles(lines, desk, now), cycles(lines, desk, lines[-1].at + max(first, second))
    for old, new in zip(before, after, strict=True):
        for was, became in zip(both(old), both(new), strict=True):
            assert 0 <= was.elapsed <= became.elapsed
            assert became.marks[: len(was.marks)] == was.marks
            assert [percent for percent, _ in became.marks] == [50, 75, 100][: len(became.marks)]


@given(starts, st.sampled_from("123"), steps, desks)
def test_a_growing_history_takes_nothing_back(
    start: float, priority: str, changes: list[tuple[float, Event, str, str]], desk: Terms
) -> None:
    """Whatever happens next, a mark that was reached and a clock that was met stay on record, and cycles stay."""
    lines = history(start, priority, changes)
    for length in range(1, len(lines)):
        now = lines[length].at
        before, after = cycles(lines[:length], desk, now), cycles(lines, desk, now + DAY)
        for old, new in zip(before, after[: len(before)], strict=True):
            assert old.started_at == new.started_at
            for was, became in zip(both(old), both(new), strict=True):
                assert set(was.marks) <= set(became.marks)
                assert was.met_at is None or was.met_at == became.met_at


@given(starts, st.sampled_from("123"), steps, desks, st.floats(0, 60 * HOUR))
def test_breach_and_due_agree(
    start: float, priority: str, changes: list[tuple[float, Event, str, str]], desk: Terms, later: float
) -> None:
    """A clock that runs and whose due time has passed is breached, and before that moment it isn't."""
    lines = history(start, priority, [step for step in changes if step[1] is not Event.PRIORITY])
    now = lines[-1].at + later
    for cycle in cycles(lines, desk, now):
        for clock in both(cycle):
            stop = min(moment for moment in (clock.met_at, cycle.ended_at, now) if moment is not None)
            assert (clock.breached_at is not None) == (clock.due is not None and clock.due <= stop)
            if clock.due is not None and abs(clock.due - stop) > 1e-3:
                assert (clock.elapsed >= clock.target - 1e-5) == (clock.due <= stop)


@given(starts, st.sampled_from("23"), desks, st.floats(1, 20 * HOUR), st.floats(1, 40 * HOUR))
def test_a_pause_adds_exactly_its_business_time(
    start: float, priority: str, desk: Terms, gap: float, pause: float
) -> None:
    """Waiting moves the due time by the open seconds of the wait, and by nothing where it was due before."""
    opened = Entry(0, start, RELAY, Event.OPENED, after=priority, data={"since": start})
    wait = Entry(1, start + gap, "dana", Event.WAITING)
    resume = Entry(2, start + gap + pause, "dana", Event.RESUMED)
    clock = cycles([opened, wait, resume], desk, resume.at)[0].respond
    plain = desk.hours.add_business_seconds(start, clock.target)
    if plain is None or plain <= wait.at:
        assert clock.due == plain
    else:
        moved = desk.hours.add_business_seconds(start, clock.target + desk.hours.business_seconds(wait.at, resume.at))
        assert moved is not None
        assert clock.due is not None
        assert desk.hours.business_seconds(min(moved, clock.due), max(moved, clock.due)) == pytest.approx(0, abs=1e-4)


@given(starts, st.sampled_from("23"), desks, st.floats(0, 20 * HOUR), st.floats(0, 40 * HOUR), st.floats(0, 40 * HOUR))
def test_splitting_a_pause_changes_nothing(
    start: float, priority: str, desk: Terms, gap: float, one: float, other: float
) -> None:
    """Two waits without a gap between them are one wait."""

    def line(number: int, at: float, event: Event) -> Entry:
        return Entry(number, at, "dana", event)

    opened = Entry(0, start, RELAY, Event.OPENED, after=priority, data={"since": start})
    begun, middle, done = start + gap, start + gap + one, start + gap + one + other
    whole = [opened, line(1, begun, Event.WAITING), line(2, done, Event.RESUMED)]
    split = [
        opened,
        line(1, begun, Event.WAITING),
        line(2, middle, Event.RESUMED),
        line(3, middle, Event.WAITING),
        line(4, done, Event.RESUMED),
    ]
    now = done + 5 * DAY
    for first, second in zip(both(cycles(whole, desk, now)[0]), both(cycles(split, desk, now)[0]), strict=True):
        assert first.elapsed == pytest.approx(second.elapsed, abs=1e-4)
        assert (first.due is None) == (second.due is None)
        if first.due is not None and second.due is not None:
            between = sorted((first.due, second.due))
            assert desk.hours.business_seconds(*between) == pytest.approx(0, abs=1e-4)
