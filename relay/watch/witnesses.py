"""Asks the other nodes before an appliance is called down, and hands it to one that reaches it.

    watcher ──opinion──▶ looks (the database) ──▶ their lookout ──▶ sights ──▶ rule ──▶ watcher judges again

Promises: no verdict waits for longer than PATIENCE and a moment, whatever hangs, the database included; nobody is asked
twice about one failure unless the answer has become useless; where nodes disagree, the appliance goes to one that
reaches it, and the disagreement is on record (a blind spot) before it goes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from relay import events
from relay.appliances.model import Appliance, Primary
from relay.clock import Clock
from relay.cluster import looks
from relay.cluster.looks import BlindSpot
from relay.cluster.node import Node
from relay.cluster.wake import Wake
from relay.db import Database
from relay.watch.vantage import PATIENCE, Opinion, Ruling, rule

AGAIN = 10.0
"""Seconds after which others are asked anew, where they didn't answer, or whoever should work for it doesn't."""
GRACE = 1.0
"""Seconds past PATIENCE after which nothing is waited for any more, not even the database."""
LOOK = 0.5
"""Seconds between two looks for answers, should a wake get lost."""


@dataclass(slots=True, eq=False)
class _Case:
    """One failure of one appliance, and what we know of it from others."""

    appliance: Appliance
    since: float
    primaries: tuple[Primary, ...]
    said: str
    asked: frozenset[str]
    began: float
    opinion: Opinion = field(default_factory=lambda: Opinion(Ruling.WAIT))


class Witnesses:
    """One for each node. ``decided(appliance_id)``: called when an opinion has come in."""

    def __init__(self, db: Database, node: Node, wake: Wake, clock: Clock, decided: Callable[[int], None]) -> None:
        self._db = db
        self._node = node
        self._wake = wake
        self._clock = clock
        self._decided = decided
        self._cases: dict[int, _Case] = {}
        self._unasked: list[_Case] = []
        self._open: dict[int, _Case] = {}  # by the number of the look
        self._wanted = asyncio.Event()

    def opinion(self, appliance: Appliance, since: float, primaries: Sequence[Primary], said: str) -> Ruling:
        """What the others make of an appliance that fails ``since`` then; asks them where that isn't known.

        ``said``: what we see of it, in words.
        """
        now = self._clock.monotonic()
        case = self._cases.get(appliance.id)
        if case is None or case.since != since or self._useless(case, now):
            others = self._node.others
            if not others:
                return Ruling.ALONE
            case = _Case(appliance, since, tuple(primaries), said, frozenset(others), now)
            self._cases[appliance.id] = case
            self._unasked.append(case)
            self._wanted.set()
        if case.opinion.ruling is Ruling.WAIT and now - case.began > PATIENCE + GRACE:
            case.opinion = Opinion(Ruling.ALONE)
        return case.opinion.ruling

    def forget(self, appliance_id: int) -> None:
        """It answers, or isn't ours any more."""
        self._cases.pop(appliance_id, None)

    async def run(self) -> None:
        """Ask, and hear what the others say, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._ask())
            group.create_task(self._hear())

    def _useless(self, case: _Case, now: float) -> bool:
        return case.opinion.ruling in (Ruling.ALONE, Ruling.ELSEWHERE) and now - case.began > AGAIN

    async def _ask(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            cases, self._unasked = {case.appliance.id: case for case in self._unasked}, []
            try:
                wanted = {number: [str(primary) for primary in case.primaries] for number, case in cases.items()}
                found = await self._db.change(looks.ask, self._node.name, wanted)
                self._open |= {look_id: cases[number] for number, look_id in found.items()}
            except Exception as error:  # nobody is asked: after a while we decide alone
                events.fault("watch", error)

    async def _hear(self) -> None:
        try:
            await self._db.change(looks.forget, self._node.name)
        except Exception as error:  # a few rows too many
            events.fault("watch", error)
        while True:
            try:
                async with asyncio.timeout(LOOK):
                    await self._wake.wait(looks.ANSWERED)
            except TimeoutError:
                pass  # time alone may decide
            try:
                await self._rule()
            except Exception as error:
                events.fault("watch", error)

    async def _rule(self) -> None:
        """Put together what has come in, and let go what is settled, or what nobody wants to know any more."""
        if not self._open:
            return
        seen = await self._db.run(looks.seen, list(self._open))
        now, others = self._clock.monotonic(), set(self._node.others)
        settled: dict[int, _Case] = {}
        for look_id, case in self._open.items():
            reaches = {sight.node: sight.reaches for sight in seen.get(look_id, ())}
            opinion = rule(case.asked & others, reaches, now - case.began)
            if self._cases.get(case.appliance.id) is not case:
                settled[look_id] = case
            elif opinion.ruling is not Ruling.WAIT:
                settled[look_id], case.opinion = case, opinion
        if settled:
            current = [case for case in settled.values() if self._cases.get(case.appliance.id) is case]
            await self._db.change(self._settle, list(settled), current)
            self._open = {look_id: case for look_id, case in self._open.items() if look_id not in settled}
            for case in current:
                self._carry_out(case)

    def _settle(self, connection: Connection, look_ids: Sequence[int], cases: Sequence[_Case]) -> None:
        looks.withdraw(connection, look_ids)
        looks.sees(connection, [case.appliance.id for case in cases if case.opinion.ruling is Ruling.DOWN])
        for case in cases:
            if case.opinion.ruling is Ruling.ELSEWHERE and self._node.holds(connection, case.appliance.id):
                primaries = tuple(map(str, case.primaries))
                spot = BlindSpot(case.appliance.id, self._node.name, primaries, case.said)
                looks.is_blind(connection, spot, self._clock.now())
                for name in case.opinion.reached_by:
                    looks.sees(connection, [case.appliance.id], name)

    def _carry_out(self, case: _Case) -> None:
        """Have everybody act on it: judge again, or work for it where it is reached."""
        if case.opinion.ruling is Ruling.ELSEWHERE:
            to = self._node.give(case.appliance.id, case.opinion.reached_by)
            events.reached_elsewhere(case.appliance.name, self._node.name, case.said, to or "")
        self._decided(case.appliance.id)
