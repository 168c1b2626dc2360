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

from relay import events
from relay.appliances.directory import Directory
from relay.appliances.evidence import Evidence
from relay.appliances.facts import Health, HealthFact
from relay.appliances.model import Primary
from relay.appliances.mx import Endpoints
from relay.appliances.pulse import Pulse, Reach
from relay.clock import Clock
from relay.cluster.node import Node
from relay.cluster.wake import Wake
from relay.db import Database
from relay.settings import Watch
from relay.watch.certificates import Certificates
from relay.watch.contracts import Contracts
from relay.watch.doubt import Doubt
from relay.watch.footing import Footing
from relay.watch.health import judge
from relay.watch.lookout import Lookout
from relay.watch.probe import Answer, Said
from relay.watch.prober import Prober
from relay.watch.records import Records, Watched
from relay.watch.routes import Routes
from relay.watch.vantage import Ruling
from relay.watch.witnesses import Witnesses

BEAT = 2.0
"""Seconds between heartbeats."""
RECRUITS = 2
"""Other endpoints that are probed at once when one begins to fail, to tell them from us."""


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
        self._pulse = pulse
        self._evidence = evidence
        self._clock = clock
        self._node = node
        self._prober = Prober(settings, endpoints, clock, hostname, self._heard)
        self._routes = Routes(endpoints, directory, db, clock, node.holds, self._routed)
        self._contracts = Contracts(endpoints, directory, db, clock, node.owns, node.holds, node.settling)
        self._certificates = Certificates(
            endpoints, directory, db, clock, hostname, self._primaries, node.owns, node.holds, node.settling
        )
        self._witnesses = Witnesses(db, node, wake, clock, self._heard_of)
        self._doubt = Doubt(settings, endpoints, node, self._judge)
        self._census = self._doubt.census
        footing = Footing(
            self._doubt.reference_answers, self._census.answering, lambda each: self._lookout.reaches(each)
        )
        self._lookout = Lookout(db, node, wake, endpoints, hostname, footing.firm, lambda: self._settings.interval)
        self._watched: dict[int, Watched] = {}
        self._records = Records(self._watched, db, directory, node.holds)
        self._behind: dict[Primary, set[int]] = {}

    def reconfigure(self, settings: Watch) -> None:
        """Take over changed settings: from each endpoint's next probe on."""
        self._settings = settings
        self._doubt.reconfigure(settings)
        self._prober.reconfigure(settings)

    async def run(self) -> None:
        """Watch until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow())
                group.create_task(self._hear_suspects())
                group.create_task(self._doubt.run())
                group.create_task(self._records.run())
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
                self._evidence.forget(number)  # the last drain of an earlier time may have said something after its end
                watched = self._watched[number] = Watched(appliance, fact, fact, fact, self._clock.now())
            else:
                self._records.compare(number)
                if watched.appliance == appliance:
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
        self._doubt.about(appliance_id, doubtful=False)
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
            self._doubt.arise()
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
            known = ruling in (Ruling.ALONE, Ruling.ELSEWHERE) or self._doubt.hangs(appliance_id)
            doubtful = ruling is not Ruling.DOWN and known and self._doubt.cut_off(watched.primaries)
            if doubtful or ruling in (Ruling.WAIT, Ruling.ELSEWHERE):
                verdict = judge(watched.fact, seen, view, self._settings, now, began=watched.began, cut_off=True)
        else:
            self._witnesses.forget(appliance_id)
        self._doubt.about(appliance_id, doubtful)
        self._settle(appliance_id, verdict.fact)
        self._leave_out_if_down(watched)
        self._pulse.saw(appliance_id, verdict.reach)

    def _leave_out_if_down(self, watched: Watched) -> None:
        if watched.fact.state is Health.DOWN:
            for primary in watched.primaries:
                if not self._prober.seen(primary).answers:
                    self._census.call_down(primary)

    def _heard_of(self, appliance_id: int) -> None:
        """Other nodes have said what they see of it."""
        if appliance_id in self._watched:
            self._judge(appliance_id)

    def _settle(self, appliance_id: int, fact: HealthFact) -> None:
        self._watched[appliance_id].fact = fact
        self._records.look_at(appliance_id)

    # What is said

    async def _beat(self) -> None:
        """Vouch for those that are up and whose probes keep their schedule (``pulse.fresh``)."""
        while True:
            now = self._clock.monotonic()
            for number, watched in self._watched.items():
                if watched.fact.state is Health.UP and any(map(self._prober.on_schedule, watched.primaries)):
                    self._pulse.beat(number, now)
            await asyncio.sleep(BEAT)
