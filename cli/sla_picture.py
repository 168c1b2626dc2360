"""The month as a picture: a lane for each appliance with its outages, and the tickets above it. SVG, by hand.

What continuity covered differs from what it didn't in height as well as in colour, so that it survives a printer
without colours; colours are the page's, by class. Nothing is drawn that isn't in the tables below it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from html import escape

from relay.tickets.month import Month
from relay.tickets.report import CustomerMonth, OutageLine, TicketLine
from relay.tickets.spans import Span

WIDTH, LEFT, RIGHT = 1000.0, 10.0, 10.0
LANE = 30.0
MARKS = 22.0
"""Height of a row of ticket marks."""
MARK = 66.0
"""Width that a mark needs."""
LEAST = 3.0
"""Width of the shortest outage: a minute in a month is thinner than any line."""


def picture(one: CustomerMonth) -> str:
    """The ``<svg>`` element."""
    scale = _Scale(one.month)
    parts: list[str] = []
    top = 4.0
    for name in one.appliances:
        tickets = [line for line in one.tickets if line.appliance == name]
        outages = [line for line in one.outages if line.appliance == name]
        drawn, top = _lane(name if len(one.appliances) > 1 else "", outages, tickets, one, scale, top)
        parts += drawn
        top += 12
    parts += _days(one.month, scale, top)
    height = top + 26
    what = f"{one.month.title} as a line of days: outages and tickets; the tables below tell the same in words"
    return (
        f'<svg viewBox="0 0 {WIDTH:g} {height:g}" role="img" aria-label="{escape(what)}">'
        '<defs><pattern id="hatch" width="8" height="8" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        '<line class="hatch" x1="0" y1="0" x2="0" y2="8"/></pattern></defs>' + "".join(parts) + "</svg>"
    )


class _Scale:
    """Time to places from left to right."""

    def __init__(self, month: Month) -> None:
        self._begins = month.begins
        self._per_second = (WIDTH - LEFT - RIGHT) / (month.ends - month.begins)

    def __call__(self, at: float) -> float:
        return LEFT + (at - self._begins) * self._per_second

    def box(self, span: Span, top: float, height: float, kind: str, title: str = "", least: float = 0.0) -> str:
        left, width = self(span.begins), max(least, self(span.ends) - self(span.begins))
        told = f"<title>{escape(title)}</title>" if title else ""
        return (
            f'<rect class="{kind}" x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}">{told}</rect>'
        )


def _lane(
    name: str,
    outages: Iterable[OutageLine],
    tickets: Iterable[TicketLine],
    one: CustomerMonth,
    scale: _Scale,
    top: float,
) -> tuple[list[str], float]:
    """What is drawn of one appliance, and where the next thing may begin."""
    parts: list[str] = []
    if name:
        parts.append(f'<text class="lane" x="{LEFT:g}" y="{top + 15:.1f}">{escape(name)}</text>')
        top += 24
    marks, rows = _marks(tickets, one, scale, top)
    top += rows * MARKS
    parts.append(scale.box(one.period, top, LANE, "up"))
    if one.period.ends < one.month.ends:
        parts.append(scale.box(Span(one.period.ends, one.month.ends), top, LANE, "ahead", "yet to come"))
    for line in outages:
        parts += [scale.box(span, top, LANE, "away", line.cause, LEAST) for span in line.down]
        parts += [
            scale.box(span, top + LANE / 3, LANE * 2 / 3, "covered", "covered by the continuity service", LEAST)
            for span in line.covered
        ]
        parts += [scale.box(span, top, LANE, "planned", "announced maintenance", LEAST) for span in line.planned]
    return parts + marks, top + LANE


def _marks(tickets: Iterable[TicketLine], one: CustomerMonth, scale: _Scale, top: float) -> tuple[list[str], int]:
    """A mark where each ticket was opened in the month, in as many rows as keep their words apart."""
    ends: list[float] = []
    placed: list[tuple[TicketLine, float, int]] = []
    for line in tickets:
        if not one.period.begins <= line.opened_at < one.period.ends:
            continue
        x = scale(line.opened_at)
        row = next((row for row, end in enumerate(ends) if x >= end), len(ends))
        ends[row : row + 1] = [x + MARK]
        placed.append((line, x, row))
    parts: list[str] = []
    for line, x, row in placed:
        y = top + (len(ends) - row) * MARKS
        missed = any(clock.late for cycle in line.cycles for clock in (cycle.acknowledge, cycle.respond))
        right = x + MARK <= WIDTH
        words = f"P{line.cycles[0].priority} #{line.id}" + (" !" if missed else "")
        parts.append(
            f'<path class="stem" d="M{x:.1f} {y - 14:.1f}V{y:.1f}"/>'
            f'<circle class="{"missed" if missed else "mark"}" cx="{x:.1f}" cy="{y - 14:.1f}" r="4"/>'
            f'<text class="words{"" if right else " left"}" x="{x + (8 if right else -8):.1f}" y="{y - 9:.1f}">'
            f"{escape(words)}</text>"
        )
    return parts, len(ends)


def _days(month: Month, scale: _Scale, top: float) -> Iterator[str]:
    """The days below, each with its number; weekends are set back."""
    for number, day in enumerate(month.days(), 1):
        x = scale(day.begins)
        weekend = datetime.fromtimestamp(day.begins, month.zone).weekday() >= 5
        yield f'<path class="tick" d="M{x:.1f} {top - 6:.1f}v6"/>'
        middle = (x + scale(day.ends)) / 2
        yield f'<text class="day{" weekend" if weekend else ""}" x="{middle:.1f}" y="{top + 14:.1f}">{number}</text>'
    yield f'<path class="tick" d="M{LEFT:g} {top - 6:.1f}H{WIDTH - RIGHT:g}v6"/>'
