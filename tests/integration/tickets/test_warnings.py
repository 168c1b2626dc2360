"""SLA warnings: each is said once, in the history and to the helpdesk."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from relay.hours import Calendar
from relay.tickets import operators, reading
from relay.tickets.plan import Terms
from relay.tickets.states import Priority
from relay.tickets.warnings import Warnings, record_warnings, warnings_due
from tests.integration.tickets.conftest import START, Desk
from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("engine")

P1, P2, P3 = Priority.P1, Priority.P2, Priority.P3
MINUTE, HOUR = 60.0, 3600.0
OFFICE = Terms(Calendar.parse("Mon-Fri 09:00-18:00"))


def said(office: Desk, ticket_id: int) -> list[tuple[str, str, int]]:
    return [
        (line.event, line.data["clock"], line.data["percent"])
        for line in office.see(reading.history, ticket_id)
        if "percent" in line.data
    ]


def look_every_minute(office: Desk, until: float) -> None:
    while office.now < until:
        office.now += MINUTE
        office.do(record_warnings, office.now, OFFICE)


def test_each_mark_is_said_once(office: Desk) -> None:
    """Half the hour, three quarters of it and the breach are each said once for each clock, however often one looks."""
    ticket = office.facts(P1, started_at=START)
    assert ticket is not None
    look_every_minute(office, START + 2 * HOUR)
    expected = [("warning", 50), ("warning", 75), ("breach", 100)]
    assert said(office, ticket.id) == [
        (event, clock, percent) for event, percent in expected for clock in ("acknowledge", "respond")
    ]
    assert office.rows("SELECT count(*) FROM outbox WHERE kind IN ('warning', 'breach')") == [(6,)]
    breach = office.see(reading.history, ticket.id)[-1]
    assert breach.reason == "not responded to in time: the target was missed at 2026-11-23T01:00:00Z"
    assert office.see(warnings_due, office.now, OFFICE) == []


def test_who_has_done_it_is_not_reminded(office: Desk) -> None:
    """After the acknowledgment only the other clock warns, and after the resolution none."""
    ticket = office.facts(P1, started_at=START)
    assert ticket is not None
    office.do(operators.acknowledge, ticket.id, "dana", START + 40 * MINUTE)
    office.now += 40 * MINUTE
    look_every_minute(office, START + 50 * MINUTE)
    assert said(office, ticket.id) == [("warning", "respond", 50), ("warning", "respond", 75)]
    office.now += 5 * MINUTE
    office.facts(None)
    look_every_minute(office, START + 3 * HOUR)
    assert len(said(office, ticket.id)) == 2


def test_marks_missed_while_nobody_looked_are_said_as_the_last_of_them(office: Desk) -> None:
    """After an hour without a look only the breach is said, not the warnings that came before it."""
    ticket = office.facts(P1, started_at=START)
    assert ticket is not None
    office.now += 3 * HOUR
    assert office.do(record_warnings, office.now, OFFICE) == 2
    assert said(office, ticket.id) == [("breach", "acknowledge", 100), ("breach", "respond", 100)]
    assert office.do(record_warnings, office.now, OFFICE) == 0


def test_a_new_cycle_warns_anew_and_the_old_breach_is_still_told(office: Desk) -> None:
    """A raise starts over; a breach of the old cycle that nobody had announced yet is announced."""
    office.now = START + 9 * HOUR
    ticket = office.facts(P2, started_at=office.now)
    assert ticket is not None
    look_every_minute(office, office.now + 40 * MINUTE)
    office.now += 21 * MINUTE
    office.facts(P1)
    office.now += 31 * MINUTE
    office.do(record_warnings, office.now, OFFICE)
    lines = [line.data for line in office.see(reading.history, ticket.id) if "percent" in line.data]
    assert [(line["cycle"], line["clock"], line["percent"]) for line in lines] == [
        (0, "acknowledge", 50),
        (0, "acknowledge", 100),
        (1, "acknowledge", 50),
        (1, "respond", 50),
    ]


async def test_the_loop_looks_by_itself(office: Desk) -> None:
    """A running node announces a breach without being asked."""
    ticket = office.facts(P1, started_at=START)
    assert ticket is not None
    office.now += 2 * HOUR
    running = asyncio.create_task(Warnings(office.db, office.clock, OFFICE).run())
    await eventually(lambda: len(said(office, ticket.id)) == 2)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
