"""The support plan, row by row: support_plan.txt tells what happens, and what the clocks must say."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from cli.render import span
from relay.hours import Calendar
from relay.settings import Support
from relay.tickets.plan import GOLD, Terms
from relay.tickets.sla import Cycle, SlaClock, cycles
from relay.tickets.states import Event, Priority
from relay.tickets.ticket import Entry

BERLIN = ZoneInfo("Europe/Berlin")
ROWS = [
    [cell.strip() for cell in line.split("|")]
    for line in Path(__file__).with_name("support_plan.txt").read_text(encoding="utf-8").splitlines()
    if line.strip() and not line.startswith("#")
]
TERMS = Terms.of(
    Support.model_validate(
        {
            "hours": "Mon-Fri 09:00-18:00",
            "timezone": "Europe/Berlin",
            "holidays": "DE-BY, 2026-12-24",
            "plans": {
                "silver": {
                    "p1": {"acknowledge": "2h", "respond": "2h"},
                    "p2": {"acknowledge": "4h", "respond": "8h"},
                    "p3": {"acknowledge": "4h", "respond": "16h"},
                }
            },
        }
    )
)


def moment(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


def story(text: str, plan: str) -> list[Entry]:
    entries: list[Entry] = []
    for line in text.split(", "):
        day, time, event, *rest = line.split()
        at = moment(f"{day} {time}")
        opening = event in ("opened", "reopened")
        entries.append(
            Entry(
                len(entries),
                at,
                rest[0] if rest and rest[0].isalpha() else "relay",
                Event(event),
                after=rest[0] if rest and rest[0].isdigit() else None,
                data={"since": at, "plan": plan} if opening else {},
            )
        )
    return entries


def said(clock: SlaClock, cycle: Cycle) -> str:
    if clock.breached_at is not None:
        over = clock.met_at is not None or cycle.ended_at is not None
        return f"late by {span(clock.overrun)}" + ("" if over else " so far")
    if clock.met_at is not None:
        return f"met in {span(clock.elapsed)}"
    if cycle.ended_at is not None:
        return "not due any more"
    return "stands still" if clock.due is None else f"due {datetime.fromtimestamp(clock.due, BERLIN):%Y-%m-%d %H:%M}"


@pytest.mark.parametrize(
    ("plan", "happened", "at", "acknowledge", "respond"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_each_row_of_the_plan(plan: str, happened: str, at: str, acknowledge: str, respond: str) -> None:
    """Each story has the clocks that its row says."""
    cycle = cycles(story(happened, plan), TERMS, moment(at))[-1]
    assert (said(cycle.acknowledge, cycle), said(cycle.respond, cycle)) == (acknowledge, respond)


def test_gold_is_what_the_contract_says() -> None:
    """P1 within an hour, P2 within one and four, P3 within one and eight."""
    hours = {priority: (target.acknowledge / 3600, target.respond / 3600) for priority, target in GOLD.targets.items()}
    assert hours == {Priority.P1: (1, 1), Priority.P2: (1, 4), Priority.P3: (1, 8)}


def test_a_plan_that_no_setting_has_any_more_is_gold() -> None:
    """A ticket of a plan that was taken out of relay.toml still has clocks."""
    terms = Terms(Calendar.parse("always"), {})
    (cycle,) = cycles(story("2026-11-27 16:50 opened 3", "silver"), terms, moment("2026-11-27 16:50"))
    assert (cycle.plan, cycle.respond.target) == ("gold", 8 * 3600)
