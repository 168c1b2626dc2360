"""The loop of continuity: gather the facts of each appliance that this node owns, decide, carry out.

    directory, rounds, handback ──facts──▶ decide ──decision──▶ carry_out (one transaction) ──▶ queue, directory, events

Promises: nothing is written when nothing changes; a decision whose facts have changed meanwhile is dropped and made
anew; a P1 waits for no proof, since proofs run beside the loop and have a time limit; what a crash interrupted is
taken up at the next start. An appliance is looked at when its facts change, when a proof or a count has come in, and
when its last decision said so: a quiet one costs a comparison a tick.

What fails here is logged, counted and tried again, and no appliance's failure holds up another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from sqlalchemy import Connection

from relay import events
from relay.appliances.directory import Directory, Snapshot
from relay.clock import Clock
from relay.continuity import case as cases
from relay.continuity.background import Background
from relay.continuity.carry import Done, carry_out, reconcile
from relay.continuity.case import NEVER, NOW, Case
from relay.continuity.decide import decide
from relay.continuity.decision import Decision, Facts, Step
from relay.continuity.findings import FindingTickets
from relay.continuity.handback import Handback
from relay.continuity.ours import OwnCertificates
from relay.continuity.progress import Told
from relay.continuity.readiness import Prover
from relay.continuity.refused import tell_refusals
from relay.continuity.rounds import Rounds
from relay.continuity.slices import write
from relay.db import Database
from relay.queue.queue import Queue
from relay.settings import Settings

TICK = 0.5
BREATH = 100
"""Decisions after which the event loop gets its turn."""
RETRY = 5.0
PAUSE = 0.05
"""Seconds between two ticks at least: what comes together is done together."""

Work = tuple[Case, Facts, Decision]


class Controller:
    """One for each node. ``owns``: whether this node may begin work for an appliance; ``holds``: the same, asked of the
    database in the transaction that decides."""

    def __init__(
        self,
        settings: Settings,
        db: Database,
        directory: Directory,
        queue: Queue,
        prover: Prover,
        clock: Clock,
        owns: Callable[[int], bool],
        holds: Callable[[Connection, int], bool],
    ) -> None:
        self._rules = settings.continuity
        self._db = db
        self._directory = directory
        self._queue = queue
        self._prover = prover
        self._clock = clock
        self._owns = owns
        self._holds = holds
        self._background = Background()
        self._rounds = Rounds(self._rules, db, prover, clock, self._background)
        self._handback = Handback(self._rules, db, queue, clock, self._background)
        self._findings = FindingTickets(db, directory, clock)
        self._ours = OwnCertificates(settings, db, clock)
        self._cases: dict[int, Case] = {}
        self._unsure: set[int] = set()  # whose outage may be another by now: what was decided may have been carried out
        self._snapshot: Snapshot | None = None

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                try:
                    await self.tick()
                except Exception as error:  # what there is to look after can't be read
                    events.fault("continuity", error)
                await self._wait()
        finally:
            await self.close()

    async def close(self) -> None:
        """End the proofs and counts that still run."""
        await self._background.close()

    def reconfigure(self, settings: Settings) -> None:
        """Go by these settings from the next tick on: [continuity], and the certificate of [smtp]."""
        self._rules = settings.continuity
        for part in (self._rounds, self._handback):
            part.reconfigure(settings.continuity)
        self._prover.reconfigure(settings)
        self._ours.reconfigure(settings)
        for case in self._cases.values():
            case.next_at = case.prove_at = NOW

    async def _wait(self) -> None:
        """A tick, or less where the facts change."""
        await asyncio.sleep(PAUSE)
        try:
            async with asyncio.timeout(TICK - PAUSE):
                await self._directory.changed()
        except TimeoutError:
            pass  # time passes without that, too

    async def tick(self) -> None:
        """Do all that is due now; what fails is logged, and the rest done all the same."""
        await self._follow()
        for part in (self._record, self._decide, self._begin, self._tell):
            try:
                await part()
            except Exception as error:
                events.fault("continuity", error)

    async def _record(self) -> None:
        if await self._rounds.record():
            await self._directory.refresh()

    async def _begin(self) -> None:
        """Begin what nobody waits for."""
        now = self._clock.now()
        self._rounds.start_due(self._cases.values(), now)
        self._handback.count_due(self._returning(), now)

    async def _tell(self) -> None:
        """Say in tickets what isn't a decision."""
        await self._handback.tell_progress(self._returning(), self._clock.now())
        await tell_refusals(self._cases.values(), self._db, self._clock.now())
        await self._findings.follow(frozenset(self._cases))
        await self._ours.look()

    def _returning(self) -> list[Case]:
        """Those whose mail may be on its way back."""
        return [case for case in self._cases.values() if case.outage or case.continuity.priority]

    async def _follow(self) -> None:
        """Look after the appliances that this node owns now, as the directory knows them now."""
        snapshot = self._directory.snapshot
        owned = set(filter(self._owns, snapshot.appliances))
        for number in self._cases.keys() - owned:
            del self._cases[number]
            self._prover.forget(number)
        if snapshot is not self._snapshot:
            for case in self._cases.values():
                case.follow(snapshot)
            self._snapshot = snapshot
        new = (owned - self._cases.keys()) | (self._unsure & owned)
        found = await self._db.run(cases.load, new) if new else {}
        self._unsure.clear()
        for number, (proofs, continuity, outage) in found.items():
            if continuity is not None:  # else it was removed meanwhile
                case = self._cases.get(number) or Case(
                    snapshot.appliances[number], (), self._directory.health(number), continuity, (), proofs=proofs
                )
                case.continuity, case.outage = continuity, outage
                case.follow(snapshot)
                self._cases[number] = case
                if outage is not None:
                    self._background.start(self._count_for(number, outage.id))

    async def _decide(self) -> None:
        """Decide what is due, carry out what changes, and let every room know."""
        changed = False
        for _ in range(3):  # a takeover, its P1, and the P3 that follows
            now = self._clock.now()
            work: list[Work] = []
            for place, case in enumerate([case for case in self._cases.values() if case.next_at <= now], 1):
                if (found := self._decide_one(case, now)) is not None:
                    work.append(found)
                if place % BREATH == 0:
                    await asyncio.sleep(0)
            if not work:
                break
            # In the order in which mail that is accepted locks the same rows: else each may wait for the other.
            work.sort(key=lambda one: one[0].appliance.id)
            for (case, gathered, decision), done in await write(self._db, self._write, work):
                if isinstance(done, Exception):
                    self._unsure.add(case.appliance.id)  # the commit's answer alone may have been lost
                    case.next_at = now + RETRY
                else:
                    self._carried_out(case, gathered, decision, done)
            changed = True
        if changed:
            await self._directory.refresh()

    def _decide_one(self, case: Case, now: float) -> Work | None:
        """What has to be carried out, if anything."""
        if not case.concerns(now):
            case.next_at = NEVER
            return None
        try:
            gathered = case.facts(self._rules, self._queue.depth(case.appliance.id), now)
            decision = decide(gathered, now)
        except Exception as error:
            events.fault("continuity", error)
            case.next_at = now + RETRY
            return None
        case.next_at = NEVER if decision.next_at is None else decision.next_at
        behind = case.continuity.priority is not None and case.listed != case.domain_names
        return (case, gathered, decision) if decision.changes(gathered) or behind else None

    def _write(self, connection: Connection, batch: Sequence[Work]) -> list[Done | None]:
        now = self._clock.now()
        done: list[Done | None] = []
        for case, gathered, decision in batch:
            if decision.changes(gathered):
                done.append(carry_out(connection, gathered, decision, case.domain_names, self._holds, now))
            elif self._holds(connection, gathered.appliance.id):  # the ticket's list of domains alone is behind
                outage_id = gathered.continuity.outage_id
                reconcile(connection, gathered, decision, case.domain_names, outage_id, (), now)
                done.append(Done(gathered.continuity, gathered.outage))
            else:
                done.append(None)
        return done

    def _carried_out(self, case: Case, gathered: Facts, decision: Decision, done: Done | None) -> None:
        now = self._clock.now()
        if done is None:
            self._unsure.add(case.appliance.id)
            case.next_at = now + TICK  # sooner, should the directory hear of the change that was missed
            return
        case.continuity, case.outage, case.listed = done.continuity, done.outage, case.domain_names
        if done.continuity.priority != decision.continuity.priority:
            case.next_at = NOW  # the ticket was found resolved: whether there should be one is decided anew
        if Step.BEGIN in decision.steps and done.outage is not None:
            self._background.start(self._count_for(case.appliance.id, done.outage.id))
        if Step.RETURNED in decision.steps:
            case.told = Told(now, gathered.waiting, gathered.waiting)  # so says the note
        before, after = gathered.continuity.state, decision.continuity.state
        if after is not before:
            events.continuity_changed(case.appliance.name, before, after, decision.history)

    async def _count_for(self, appliance_id: int, outage_id: int) -> None:
        """See that the queue counts what waits for the outage; again at each start, since a crash may have come
        between."""
        while (case := self._cases.get(appliance_id)) and case.outage and case.outage.id == outage_id:
            try:
                await self._queue.begin_outage(appliance_id, outage_id)
                return
            except Exception as error:
                events.fault("continuity", error)
            await asyncio.sleep(RETRY)
