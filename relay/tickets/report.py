"""The month of a customer in figures: outages, what continuity covered, what became of the mail, and the plan kept.

    subjects, tickets (rows as they stand) ──▶ customer_month ──▶ CustomerMonth

Pure: the same rows give the same figures, and what happened after a month's end changes nothing in it but what became
of the mail. What runs over its edge counts with the part that lies in it; the mail of an outage counts in the month in
which the outage began, a clock in the month in which it was met or missed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from relay.appliances.facts import Outage, Window
from relay.appliances.model import Appliance
from relay.tickets import sla
from relay.tickets.month import Month
from relay.tickets.plan import Terms
from relay.tickets.sla import Cycle, SlaClock
from relay.tickets.spans import Span, common, seconds
from relay.tickets.states import Condition, Event, Priority
from relay.tickets.ticket import Entry, Ticket
from relay.tickets.words import cause

ACTIVE, DRAINING = "active", "draining"
"""States in the history of failovers: covered by continuity; the appliance answers again. All others: neither."""


@dataclass(frozen=True, slots=True)
class Mail:
    """What came for an outage, in recipients. What is neither returned nor waits was reported back, or dropped."""

    kept: int = 0
    returned: int = 0
    waiting: int = 0

    def __add__(self, other: Mail) -> Mail:
        return Mail(self.kept + other.kept, self.returned + other.returned, self.waiting + other.waiting)


@dataclass(frozen=True, slots=True)
class PastOutage:
    """``changes``: of the state of continuity in it, (when, to which), oldest first."""

    outage: Outage
    changes: tuple[tuple[float, str], ...]
    mail: Mail


@dataclass(frozen=True, slots=True)
class Subject:
    """One appliance of a customer."""

    appliance: Appliance
    domains: tuple[str, ...]
    outages: tuple[PastOutage, ...]
    windows: tuple[Window, ...]


@dataclass(frozen=True, slots=True)
class PastTicket:
    ticket: Ticket
    history: Sequence[Entry]


class Result(StrEnum):
    """What became of a clock by the end of the month."""

    MET = "met"
    LATE = "late"
    MISSED = "missed"
    """Late, and still not done, or the ticket ended first."""
    OPEN = "open"
    ENDED = "ended"
    """There was nothing left to do before the target was reached."""


@dataclass(frozen=True, slots=True)
class ClockLine:
    """Seconds of the hours that count. ``took``: None where nobody did it; ``late``: by how much."""

    target: float
    result: Result
    took: float | None
    late: float


@dataclass(frozen=True, slots=True)
class CycleLine:
    """``priority``: the last one that it had in it."""

    priority: Priority
    started_at: float
    acknowledge: ClockLine
    respond: ClockLine


@dataclass(frozen=True, slots=True)
class TicketLine:
    """As the ticket stood at the end of the month; ``cycles``: those that ran in it, oldest first."""

    id: int
    appliance: str
    condition: Condition
    plan: str
    priority: Priority
    opened_at: float
    resolved_at: float | None
    cycles: tuple[CycleLine, ...]


@dataclass(frozen=True, slots=True)
class OutageLine:
    """``down``: without the primary; ``covered`` by continuity; ``planned``: in a maintenance window. All in the month.

    ``ended_at``: when the primary was back for good; None: not by the end of the month. ``mail``: None where it counts
    in the month before.
    """

    id: int
    appliance: str
    began_at: float
    ended_at: float | None
    cause: str
    reason: str
    down: tuple[Span, ...]
    covered: tuple[Span, ...]
    planned: tuple[Span, ...]
    mail: Mail | None


@dataclass(frozen=True, slots=True)
class Kept:
    """Targets of one kind that were met and missed in the month."""

    met: int
    missed: int


@dataclass(frozen=True, slots=True)
class CustomerMonth:
    """``period``: the part of the month that is told of. ``watched``: seconds of it, over all appliances."""

    customer: str
    month: Month
    period: Span
    appliances: tuple[str, ...]
    domains: tuple[str, ...]
    watched: float
    outages: tuple[OutageLine, ...]
    tickets: tuple[TicketLine, ...]
    acknowledged: Kept
    responded: Kept

    @property
    def without(self) -> float:
        """Seconds without the primary."""
        return sum(seconds(line.down) for line in self.outages)

    @property
    def covered(self) -> float:
        return sum(seconds(line.covered) for line in self.outages)

    @property
    def planned(self) -> float:
        return sum(seconds(line.planned) for line in self.outages)

    @property
    def mail(self) -> Mail:
        return sum((line.mail for line in self.outages if line.mail is not None), Mail())

    @property
    def breaches(self) -> int:
        return self.acknowledged.missed + self.responded.missed

    @property
    def quiet(self) -> bool:
        return not self.outages and not self.tickets


def customer_month(
    customer: str,
    subjects: Sequence[Subject],
    tickets: Sequence[PastTicket],
    month: Month,
    terms: Terms,
    now: float,
) -> CustomerMonth:
    """The figures of one customer. ``tickets``: of the customer, those of appliances that are gone too."""
    period = month.so_far(now)
    outages = [
        line for subject in subjects for past in subject.outages if (line := _outage(subject, past, period)) is not None
    ]
    told = [(past, _cycles(past, period, terms)) for past in tickets]
    clocks = [(cycle.acknowledge, cycle.respond) for _, cycles in told for cycle in cycles]
    return CustomerMonth(
        customer,
        month,
        period,
        tuple(sorted(subject.appliance.name for subject in subjects)),
        tuple(sorted(domain for subject in subjects for domain in subject.domains)),
        sum(max(0.0, period.ends - max(period.begins, subject.appliance.created_at)) for subject in subjects),
        tuple(sorted(outages, key=lambda line: (line.began_at, line.id))),
        tuple(_ticket(past, cycles, period) for past, cycles in told if cycles),
        _kept((clock for clock, _ in clocks), period),
        _kept((clock for _, clock in clocks), period),
    )


def courses(past: PastOutage, until: float) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
    """When the primary was away in an outage, and when continuity was active and proven, up to ``until``."""
    outage = past.outage
    end = until if outage.ended_at is None else min(until, outage.ended_at)
    states = [(outage.began_at, ""), *past.changes, (end, "")]
    down: list[Span] = []
    covered: list[Span] = []
    for (begins, state), (ends, after) in pairwise(states):
        if state == DRAINING:
            continue
        if after == DRAINING and outage.returned_at is not None and begins <= outage.returned_at < ends:
            ends = outage.returned_at  # it answered a moment before that was acted on
        span = Span(begins, min(ends, end))
        down.append(span)
        if state == ACTIVE:
            covered.append(span)
    return tuple(down), tuple(covered)


def _outage(subject: Subject, past: PastOutage, period: Span) -> OutageLine | None:
    """None where it doesn't touch the month."""
    outage = past.outage
    down, covered = (common(spans, [period]) for spans in courses(past, period.ends))
    if not down:
        return None
    returned = outage.returned_at
    return OutageLine(
        outage.id,
        subject.appliance.name,
        outage.began_at,
        returned if returned is not None and returned < period.ends else None,
        cause(outage.reason),
        outage.reason,
        down,
        covered,
        common(down, [Span(window.starts_at, window.ends_at) for window in subject.windows]),
        past.mail if outage.began_at >= period.begins else None,
    )


def _cycles(past: PastTicket, period: Span, terms: Terms) -> list[Cycle]:
    """Those that ran in the month, as they stood at its end."""
    history = [entry for entry in past.history if entry.at < period.ends]
    return [
        cycle
        for cycle in sla.cycles(history, terms, period.ends)
        if cycle.ended_at is None or cycle.ended_at >= period.begins
    ]


def _ticket(past: PastTicket, cycles: Sequence[Cycle], period: Span) -> TicketLine:
    ticket, last = past.ticket, cycles[-1]
    resolved = [entry.at for entry in past.history if entry.event is Event.RESOLVED and entry.at < period.ends]
    return TicketLine(
        ticket.id,
        ticket.appliance,
        ticket.condition,
        last.plan,
        last.priority,
        ticket.opened_at,
        resolved[-1] if resolved and last.ended_at is not None else None,
        tuple(
            CycleLine(cycle.priority, cycle.started_at, _clock(cycle.acknowledge, cycle), _clock(cycle.respond, cycle))
            for cycle in cycles
        ),
    )


def _clock(clock: SlaClock, cycle: Cycle) -> ClockLine:
    if clock.breached_at is not None:
        result = Result.MISSED if clock.met_at is None else Result.LATE
    elif clock.met_at is not None:
        result = Result.MET
    else:
        result = Result.OPEN if cycle.ended_at is None else Result.ENDED
    return ClockLine(clock.target, result, None if clock.met_at is None else clock.elapsed, clock.overrun)


def _kept(clocks: Iterable[SlaClock], period: Span) -> Kept:
    met = missed = 0
    for clock in clocks:
        if clock.breached_at is not None:
            missed += period.begins <= clock.breached_at
        elif clock.met_at is not None:
            met += period.begins <= clock.met_at
    return Kept(met, missed)
