"""The SLA clocks of a ticket, computed from its history on reading. Pure: no clock is ever stored.

The rules (the support plan, DESIGN's words):
- two clocks run in each *cycle*: to acknowledge and to respond, each with the target that the plan has for the
  priority (relay.tickets.plan). A target is missed when its time is up: acknowledged after exactly one hour is late;
- a cycle starts when the condition began, on reopening, or when the priority is raised; raising it and resolving end
  the one before, which stays on record;
- P1 runs around the clock; P2 and P3 run in the desk's hours, and stand still while the ticket waits for the customer;
- lowering the priority keeps the start: the clock is then what it would be, had the ticket had the new priority from
  the start. A breach that has happened by then stays on record;
- only what a person does stops a clock.

Promises: for a given history no clock runs backwards, and a history that grows takes no breach back. Entries whose
times run backwards (two processes, two clocks) count as simultaneous with the one before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf

from relay.tickets.plan import GOLD, Hours, Plan, Terms
from relay.tickets.states import Event, Priority
from relay.tickets.ticket import Entry

BREACH = 100
MARKS = (50, 75, BREACH)
"""Percent of a target at which somebody is told."""

CLOCK_EVENTS = (
    Event.OPENED,
    Event.REOPENED,
    Event.PRIORITY,
    Event.ACKNOWLEDGED,
    Event.RESPONDED,
    Event.WAITING,
    Event.RESUMED,
    Event.RESOLVED,
)
"""The entries that clocks depend on; the others may be left out."""


class ClockName(StrEnum):
    ACKNOWLEDGE = "acknowledge"
    RESPOND = "respond"


@dataclass(frozen=True, slots=True)
class SlaClock:
    """One clock of one cycle. ``target`` and ``elapsed``: seconds of the hours that count.

    ``due``: None while the ticket waits for the customer, and where the desk never opens. ``met_at``: when a person
    did it. ``marks``: the percents of :data:`MARKS` that were reached, and when. ``overrun``: by how much the target
    was passed, at each priority by its own target and up to its end; the most of them, 0 where none was.
    """

    name: ClockName
    target: float
    elapsed: float
    due: float | None
    met_at: float | None
    marks: tuple[tuple[int, float], ...]
    overrun: float = 0.0

    @property
    def breached_at(self) -> float | None:
        return dict(self.marks).get(BREACH)


@dataclass(frozen=True, slots=True)
class Cycle:
    """From an opening, reopening or raise up to the next of them or the resolution; ``ended_at`` None: it runs."""

    number: int
    plan: str
    priority: Priority
    started_at: float
    ended_at: float | None
    acknowledge: SlaClock
    respond: SlaClock


def cycles(history: Iterable[Entry], terms: Terms, now: float) -> tuple[Cycle, ...]:
    """Every cycle of a ticket, oldest first, at ``now``. ``history``: in the order in which it was written."""
    return tuple(course.cycle(number, terms, now) for number, course in enumerate(_courses(history)))


@dataclass(slots=True)
class _Course:
    """What happened in one cycle: the facts that its clocks are computed from."""

    started_at: float
    stages: list[tuple[float, Priority]]
    """(since, priority), ever less urgent."""
    plan: str = GOLD.name
    pauses: list[tuple[float, float]] = field(default_factory=list)
    """(from, to) of waiting for the customer; ``inf`` where it still does."""
    acknowledged_at: float | None = None
    responded_at: float | None = None
    ended_at: float | None = None

    @property
    def priority(self) -> Priority:
        return self.stages[-1][1]

    def cycle(self, number: int, terms: Terms, now: float) -> Cycle:
        stop = now if self.ended_at is None else self.ended_at
        plan = terms.plan(self.plan)
        return Cycle(
            number,
            plan.name,
            self.priority,
            self.started_at,
            self.ended_at,
            self._clock(ClockName.ACKNOWLEDGE, self.acknowledged_at, plan, terms.hours, stop),
            self._clock(ClockName.RESPOND, self.responded_at, plan, terms.hours, stop),
        )

    def _clock(self, name: ClockName, met_at: float | None, plan: Plan, desk: Hours, stop: float) -> SlaClock:
        pauses = self.pauses
        if met_at is not None:
            stop = met_at
            pauses = [(start, min(end, met_at)) for start, end in pauses if start < met_at]
        hands = {priority: _Hands(self.started_at, priority, desk, pauses) for _, priority in self.stages}
        last = hands[self.priority]
        target = _target(name, plan, self.priority)
        stages = [(priority, min(until, stop)) for priority, until in self._stages_until()]
        marks = []
        for percent in MARKS:
            for priority, until in stages:
                reached = hands[priority].reach(_target(name, plan, priority) * percent / 100)
                if reached is not None and reached <= until:
                    marks.append((percent, reached))
                    break
        overrun = max(hands[priority].elapsed(until) - _target(name, plan, priority) for priority, until in stages)
        return SlaClock(name, target, last.elapsed(stop), last.reach(target), met_at, tuple(marks), max(0.0, overrun))

    def _stages_until(self) -> Iterator[tuple[Priority, float]]:
        """Each priority, and when it was lowered; ``inf``: not yet."""
        ends = [*(since for since, _ in self.stages[1:]), inf]
        yield from zip((priority for _, priority in self.stages), ends, strict=True)


@dataclass(frozen=True, slots=True)
class _Hands:
    """How time runs at one priority, from a start and with pauses."""

    start: float
    priority: Priority
    desk: Hours
    pauses: Sequence[tuple[float, float]]

    def elapsed(self, at: float) -> float:
        """Seconds that count, up to ``at``."""
        if self.priority is Priority.P1:
            return max(0.0, at - self.start)
        run = self.desk.business_seconds(self.start, at)
        for paused, resumed in self.pauses:
            run -= self.desk.business_seconds(max(paused, self.start), min(resumed, at))
        return run

    def reach(self, seconds: float) -> float | None:
        """When that many will have counted, as far as the pauses are known; None for not while it waits, or never."""
        if self.priority is Priority.P1:
            return self.start + seconds
        at: float = self.start
        for paused, resumed in self.pauses:
            run = self.desk.business_seconds(at, paused)
            if run >= seconds:
                break
            if resumed == inf:
                return None
            seconds -= run
            at = max(at, resumed)
        return self.desk.add_business_seconds(at, seconds)


def _courses(history: Iterable[Entry]) -> list[_Course]:
    courses: list[_Course] = []
    waiting = False
    at = -inf
    for entry in history:
        at = max(at, entry.at)
        if entry.event in (Event.OPENED, Event.REOPENED):
            waiting = False
            start = float(entry.data.get("since", at))
            courses.append(_Course(start, [(start, _priority(entry))], str(entry.data.get("plan", GOLD.name))))
            continue
        course = courses[-1]
        match entry.event:
            case Event.PRIORITY if _priority(entry) < course.priority:
                _end(course, at)
                pauses = [(at, inf)] if waiting else []
                courses.append(_Course(at, [(at, _priority(entry))], course.plan, pauses))
            case Event.PRIORITY:
                course.stages.append((at, _priority(entry)))
            case Event.WAITING if not waiting:
                waiting = True
                course.pauses.append((at, inf))
            case Event.RESUMED if waiting:
                waiting = False
                course.pauses[-1] = (course.pauses[-1][0], at)
            case Event.ACKNOWLEDGED if entry.by_person and course.acknowledged_at is None:
                course.acknowledged_at = at
            case Event.RESPONDED if entry.by_person and course.responded_at is None:
                course.responded_at = at
            case Event.RESOLVED:
                _end(course, at)
    return courses


def _target(name: ClockName, plan: Plan, priority: Priority) -> float:
    within = plan.targets[priority]
    return within.acknowledge if name is ClockName.ACKNOWLEDGE else within.respond


def _priority(entry: Entry) -> Priority:
    return Priority(int(entry.after or 0))


def _end(course: _Course, at: float) -> None:
    course.ended_at = at
    if course.pauses and course.pauses[-1][1] == inf:
        course.pauses[-1] = (course.pauses[-1][0], at)
