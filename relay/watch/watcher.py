"""Watches the appliances that this node owns: probes on schedule, judges, and says so to everybody who acts on it.

    prober ──answers──▶ judge (health) ──▶ pulse            at once, in memory: the starting gun of a drain
                                      └──▶ facts, directory  when the health changed, durable

Promises: health is written only when it changes, and only by the owner; nothing is called down while this node may
itself be cut off, and then it says so, nor where another node reaches it (witnesses); the heartbeat is beaten only
while probes keep their schedule. Whatever goes wrong here is logged and tried again. What follows from health is
decided by others.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from relay import events
from relay.appliances import facts
from relay.appliances.directory import Directory
from relay.appliances.evidence import Evidence
from relay.appliances.facts import Health, HealthFact
from relay.appliances.model import Appliance, Primary
from relay.appliances.mx import Endpoints
from relay.appliances.pulse import Pulse, Reach
from relay.clock import Clock
from relay.cluster.node import Node
from relay.cluster.wake import Wake
from relay.db import Database
from relay.settings import Watch
from relay.values import parse_address
from relay.watch.certificates import Certificates
from relay.watch.contracts import Contracts
from relay.watch.footing import Footing
from relay.watch.health import judge
from relay.watch.isolation import Census, any_answers
from relay.watch.lookout import LOOK_WITHIN, Lookout
from relay.watch.probe import Answer, Said
from relay.watch.prober import Prober
from relay.watch.routes import Routes
from relay.watch.vantage import Ruling
from relay.watch.witnesses import Witnesses

BEAT = 2.0
"""Seconds between heartbeats."""
RETRY = 1.0
"""Seconds before a write that failed is tried again."""
RECRUITS = 2
"""Other endpoints that are probed at once when one begins to fail, to tell them from us."""


@dataclass(slots=True)
class _Watched:
    """``found``: the health that we began with, at ``began``."""

    appliance: Appliance
    fact: HealthFact
    written: HealthFact
    found: HealthFact
    began: float
    primaries: tuple[Primary, ...] = ()


class Watcher:
    """One for each node."""

    def __init__(
        self,
        settings: Watch,
        directory: Directory,
        db: Database,
        pulse: Pulse,
        evidence: Evidence,
        endpoints: Endpoints,
        clock: Clock,
        node: Node,
        hostname: str,
        wake: Wake,
    ) -> None:
        self._settings = settings
        self._directory = directory
        self._db = db
        self._pulse = pulse
        self._evidence = evidence
        self._endpoints = endpoints
        self._clock = clock
        self._node = node
        self._references = _references(settings)
        self._prober = Prober(settings, endpoints, clock, hostname, self._heard)
        self._routes = Routes(endpoints, directory, db, clock, node.holds, self._routed)
        self._contracts = Contracts(endpoints, directory, db, clock, node.owns, node.holds, node.settling)
        self._certificates = Certificates(
            endpoints, directory, db, clock, hostname, self._primaries, node.owns, node.holds, node.settling
        )
        self._witnesses = Witnesses(db, node, wake, clock, self._heard_of)
        self._census = Census()
        footing = Footing(self._reference_answers, self._census.answering, lambda each: self._lookout.reaches(each))
        self._lookout = Lookout(db, node, wake, endpoints, hostname, footing.firm, lambda: self._settings.interval)
        self._watched: dict[int, _Watched] = {}
        self._behind: dict[Primary, set[int]] = {}
        self._doubtful: set[int] = set()
        self._reference: tuple[float, bool] = (float("-inf"), False)  # when it was asked, and whether one answered
        self._doubt = asyncio.Event()
        self._unwritten: set[int] = set()
        self._dirty = asyncio.Event()

    def reconfigure(self, settings: Watch) -> None:
        """Take over changed settings: from each endpoint's next probe on."""
        self._settings = settings
        self._references = _references(settings)
        self._prober.reconfigure(settings)

    async def run(self) -> None:
        """Watch until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow())
                group.create_task(self._hear_suspects())
                group.create_task(self._ask_references())
                group.create_task(self._write())
                group.create_task(self._beat())
                group.create_task(self._routes.run())
                group.create_task(self._contracts.run())
                group.create_task(self._certificates.run())
                group.create_task(self._witnesses.run())
                group.create_task(self._lookout.run())
        finally:
            await self._prober.stop()

    # What is watched

    async def _follow(self) -> None:
        while True:
            self._reconcile()
            await self._directory.changed()

    def _reconcile(self) -> None:
        """Watch what this node owns now, and nothing else."""
        appliances = self._directory.snapshot.appliances
        owned = {number: appliance for number, appliance in appliances.items() if self._node.owns(number)}
        lost = self._watched.keys() - owned.keys()
        for number in lost:
            self._forget(number)
        changed: list[int] = []
        for number, appliance in owned.items():
            watched = self._watched.get(number)
            if watched is None:
                fact = self._directory.health(number)
                watched = self._watched[number] = _Watched(appliance, fact, fact, fact, self._clock.now())
            elif watched.appliance == appliance:
                continue
            changed.append(number)
            watched.appliance = appliance
            if appliance.primaries:
                watched.primaries = appliance.primaries
        if changed or lost:
            self._wire()
        for number in changed:
            self._judge(number)  # an endpoint that is new to it may long be known from others
        self._routes.follow(owned)

    def _primaries(self, appliance_id: int) -> tuple[Primary, ...]:
        """The endpoints of an appliance; none while that isn't known."""
        watched = self._watched.get(appliance_id)
        return watched.primaries if watched else ()

    def _forget(self, appliance_id: int) -> None:
        del self._watched[appliance_id]
        self._doubts(appliance_id, doubtful=False)
        self._pulse.forget(appliance_id)
        self._evidence.forget(appliance_id)
        self._witnesses.forget(appliance_id)

    def _routed(self, appliance_id: int, primaries: tuple[Primary, ...], problem: str, unknown: bool) -> None:
        """The DNS has said where an appliance is reached; what it doesn't say now stays as it was."""
        watched = self._watched.get(appliance_id)
        if watched is None or watched.appliance.primaries or (unknown and watched.primaries):
            return
        if primaries != watched.primaries:
            watched.primaries = primaries
            self._wire()
        if not primaries:
            self._pulse.saw(appliance_id, Reach.NO)
            if not unknown or watched.fact.state is Health.UNKNOWN:
                self._unreachable(appliance_id, problem)

    def _unreachable(self, appliance_id: int, reason: str) -> None:
        """Nothing can be learnt of an appliance, and the operator should see why."""
        fact = self._watched[appliance_id].fact
        since = fact.since if fact.state is Health.UNKNOWN else self._clock.now()
        self._settle(appliance_id, dataclasses.replace(fact, state=Health.UNKNOWN, reason=reason, since=since))

    def _wire(self) -> None:
        """Probe every endpoint of what is watched, once for all who share it."""
        self._behind = {}
        for number, watched in self._watched.items():
            for primary in watched.primaries:
                self._behind.setdefault(primary, set()).add(number)
        for primary in self._prober.keep(self._behind):
            self._census.forget(primary)
        for watched in self._watched.values():
            self._leave_out_if_down(watched)

    async def _hear_suspects(self) -> None:
        while True:
            for number in await self._pulse.suspects():
                if watched := self._watched.get(number):
                    for primary in watched.primaries:
                        self._prober.hurry(primary)

    # What is seen

    def _heard(self, primary: Primary, answer: Answer, started: float) -> None:
        events.probed(str(answer.said))
        if answer.said is Said.NOTHING:
            for number in self._behind.get(primary, ()):
                if self._watched[number].fact.state is Health.UNKNOWN:
                    self._unreachable(number, answer.text)
            return
        seen = self._prober.seen(primary)
        self._census.note(primary, answers=not seen.failures, started=started)
        if seen.failures == 1:
            for other in self._census.unasked(started, RECRUITS):
                self._prober.hurry(other)
            self._doubt.set()
        now = self._clock.now()
        for number in self._behind.get(primary, ()):
            for seconds in answer.seconds:
                self._evidence.note_reply(number, seconds, now)
            self._judge(number)

    def _judge(self, appliance_id: int) -> None:
        watched = self._watched[appliance_id]
        now = self._clock.now()
        seen = [self._prober.seen(primary) for primary in watched.primaries]
        view = self._evidence.view(appliance_id, now)
        verdict = judge(watched.fact, seen, view, self._settings, now, began=watched.began, found=watched.found)
        doubtful = False
        if verdict.fact.state is Health.DOWN and watched.fact.state is not Health.DOWN:
            ruling = self._witnesses.opinion(
                watched.appliance, verdict.fact.since, watched.primaries, verdict.fact.reason
            )
            known = ruling in (Ruling.ALONE, Ruling.ELSEWHERE) or appliance_id in self._doubtful
            doubtful = ruling is not Ruling.DOWN and known and self._cut_off(watched)
            if doubtful or ruling in (Ruling.WAIT, Ruling.ELSEWHERE):
                verdict = judge(watched.fact, seen, view, self._settings, now, began=watched.began, cut_off=True)
        else:
            self._witnesses.forget(appliance_id)
        self._doubts(appliance_id, doubtful)
        self._settle(appliance_id, verdict.fact)
        self._leave_out_if_down(watched)
        self._pulse.saw(appliance_id, verdict.reach)

    def _heard_of(self, appliance_id: int) -> None:
        """Other nodes have said what they see of it."""
        if appliance_id in self._watched:
            self._judge(appliance_id)

    def _settle(self, appliance_id: int, fact: HealthFact) -> None:
        self._watched[appliance_id].fact = fact
        if fact != self._watched[appliance_id].written:
            self._unwritten.add(appliance_id)
            self._dirty.set()

    # Whether it is us

    def _leave_out_if_down(self, watched: _Watched) -> None:
        if watched.fact.state is Health.DOWN:
            for primary in watched.primaries:
                if not self._prober.seen(primary).answers:
                    self._census.call_down(primary)

    def _cut_off(self, watched: _Watched) -> bool:
        since = self._census.failing_since(watched.primaries)
        reference = None
        if self._references:
            asked, answered = self._reference
            reference = answered and asked >= since
        return self._census.cut_off(since, reference)

    def _doubts(self, appliance_id: int, doubtful: bool) -> None:
        before = bool(self._doubtful)
        if doubtful:
            self._doubtful.add(appliance_id)
            self._doubt.set()
        else:
            self._doubtful.discard(appliance_id)
        if self._doubtful and not before:
            reason = f"{self._census.describe()} fail together" + (
                ", and no reference host answers" if self._references else ""
            )
            events.isolated(reason)
            self._node.isolated(reason)
        elif before and not self._doubtful:
            events.isolation_ended()
            self._node.isolated("")

    async def _reference_answers(self) -> bool | None:
        """Whether one of the reference hosts answers now; None where there are none."""
        if not self._references:
            return None
        timeout = min(self._settings.connect_timeout, LOOK_WITHIN)
        return await any_answers(self._references, self._endpoints, timeout)

    async def _ask_references(self) -> None:
        """While something fails: ask whether the rest of the world is there, and judge anew what hung on it."""
        while True:
            await self._doubt.wait()
            self._doubt.clear()
            if not self._references:
                continue
            try:
                asked = asyncio.get_running_loop().time()
                self._reference = (asked, await self._reference_answers() is True)
                for number in list(self._doubtful):
                    self._judge(number)
            except Exception as error:
                events.fault("watch", error)
            await asyncio.sleep(self._settings.down_interval)

    # What is said

    async def _write(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            numbers, self._unwritten = self._unwritten, set()
            changes = {number: self._watched[number].fact for number in numbers if number in self._watched}
            try:
                stored = await self._db.change(self._store, changes)
                await self._directory.refresh()
            except Exception as error:
                events.fault("watch", error)
                self._unwritten |= numbers
                await asyncio.sleep(RETRY)
                self._dirty.set()
                continue
            for number in stored:
                if watched := self._watched.get(number):
                    fact = changes[number]
                    before, watched.written = watched.written, fact
                    self._settle(number, watched.fact)  # it may have changed again in the meantime
                    if (fact.state, fact.reason) != (before.state, before.reason):
                        events.health_changed(watched.appliance.name, str(before.state), str(fact.state), fact.reason)

            if refused := changes.keys() - set(stored):  # robbed, as we shall hear; or our lease has just been renewed
                self._unwritten |= refused
                asyncio.get_running_loop().call_later(RETRY, self._dirty.set)

    def _store(self, connection: Connection, changes: Mapping[int, HealthFact]) -> list[int]:
        """The appliances that are still ours, and so written."""
        held = [number for number in changes if self._node.holds(connection, number)]
        for number in held:
            facts.set_health(connection, number, changes[number])
        return held

    async def _beat(self) -> None:
        """Vouch for those that are up and whose probes keep their schedule (``pulse.fresh``)."""
        while True:
            now = self._clock.monotonic()
            for number, watched in self._watched.items():
                if watched.fact.state is Health.UP and any(map(self._prober.on_schedule, watched.primaries)):
                    self._pulse.beat(number, now)
            await asyncio.sleep(BEAT)


def _references(settings: Watch) -> list[Primary]:
    return [Primary(*parse_address(reference)) for reference in settings.references]
