"""SLA warnings: at 50 % and 75 % of a clock and at its breach somebody is told, each once.

Each is a line in the ticket's history, so it goes to the helpdesk like everything else, and the history itself knows
what was said before. Where several marks were passed since anybody looked (the relay was off), only the last is said.
The clocks don't depend on this: a breach is on record whether or not it was announced.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection

from relay import events
from relay.clock import Clock, iso
from relay.db import Database
from relay.tickets import past_hours, sla, store
from relay.tickets.plan import Terms
from relay.tickets.sla import BREACH, ClockName, Cycle, SlaClock
from relay.tickets.states import RELAY, Event
from relay.tickets.ticket import Entry, Ticket

INTERVAL = 15.0
"""Seconds between looks at the clocks."""

_DONE = {ClockName.ACKNOWLEDGE: "acknowledged", ClockName.RESPOND: "responded to"}


@dataclass(frozen=True, slots=True)
class Notice:
    """A mark that was reached and is not in the history yet."""

    ticket: Ticket
    cycle: Cycle
    clock: SlaClock
    percent: int
    reached_at: float

    @property
    def text(self) -> str:
        hours = f"{self.clock.target / 3600:g} h"
        if self.percent == BREACH:
            return f"not {_DONE[self.clock.name]} in time: the target was missed at {iso(self.reached_at)}"
        due = "" if self.clock.due is None else f", it ends at {iso(self.clock.due)}"
        return f"not {_DONE[self.clock.name]} yet: {self.percent} % of {hours} have passed{due}"


def warnings_due(connection: Connection, now: float, terms: Terms) -> list[Notice]:
    """What is to be said about the open tickets and wasn't yet; reads only."""
    lines = store.histories(connection, store.OPEN, (*sla.CLOCK_EVENTS, Event.WARNING, Event.BREACH))
    terms = past_hours.held(connection, terms, now)
    return [
        notice
        for ticket in store.find_all(connection, store.OPEN)
        for cycle in sla.cycles(lines[ticket.id], terms, now)
        for clock in (cycle.acknowledge, cycle.respond)
        for notice in _due(ticket, cycle, clock, lines[ticket.id])
    ]


def record_warnings(connection: Connection, now: float, terms: Terms) -> int:
    """Put them into the histories and the outbox; returns how many."""
    due = warnings_due(connection, now, terms)
    for notice in due:
        store.record(
            connection,
            notice.ticket.id,
            Event.BREACH if notice.percent == BREACH else Event.WARNING,
            RELAY,
            now,
            reason=notice.text,
            data={"cycle": notice.cycle.number, "clock": str(notice.clock.name), "percent": notice.percent},
        )
    return len(due)


class Warnings:
    """The loop that looks at the clocks; one in a cluster, beside the outbox: ``may`` says whether it is our turn.

    ``settling``: whether the clock is doubted at a time; then nothing is written, for a breach can't be taken back.
    """

    def __init__(
        self,
        db: Database,
        clock: Clock,
        terms: Terms,
        *,
        settling: Callable[[float], bool] = lambda _: False,
        may: Callable[[], bool] = lambda: True,
    ) -> None:
        self._db = db
        self._clock = clock
        self._terms = terms
        self._settling = settling
        self._may = may

    def reconfigure(self, terms: Terms) -> None:
        """Go by other hours and plans from the next look on."""
        self._terms = terms

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            try:
                await self.look()
            except Exception as error:
                # A database that is busy now is free a moment later; nothing is lost, for the clocks are in the log.
                events.fault("warnings", error)
            await asyncio.sleep(INTERVAL)

    async def look(self) -> None:
        """Say what is due; writes only where there is something to say, or the desk has other hours than before."""
        now = self._clock.now()
        if not self._may() or self._settling(now):
            return
        if await self._db.run(past_hours.differ, self._terms):
            await self._db.change(past_hours.keep, self._terms, now)
        if await self._db.run(warnings_due, now, self._terms):
            await self._db.change(record_warnings, now, self._terms)


def _due(ticket: Ticket, cycle: Cycle, clock: SlaClock, lines: list[Entry]) -> list[Notice]:
    said = [
        int(line.data["percent"])
        for line in lines
        if line.event in (Event.WARNING, Event.BREACH)
        and (line.data["cycle"], line.data["clock"]) == (cycle.number, str(clock.name))
    ]
    runs = cycle.ended_at is None and clock.met_at is None
    due = [
        Notice(ticket, cycle, clock, percent, at)
        for percent, at in clock.marks
        if percent > max(said, default=0) and (runs or percent == BREACH)
    ]
    return due[-1:]
