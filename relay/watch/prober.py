"""Every endpoint is probed on its schedule, however many appliances are behind it, and never twice at once.

One timer for each endpoint, one task for each probe under way, nothing in between. What a probe has shown is told to
``heard`` and kept; what it means is decided elsewhere. A probe that fails in an unforeseen way has taught nothing and
is made again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from relay import events
from relay.appliances.model import Primary
from relay.appliances.mx import Endpoints
from relay.clock import Clock
from relay.errors import LookupFailed
from relay.settings import Watch
from relay.watch.health import Seen, note
from relay.watch.probe import Answer, Said, probe
from relay.watch.schedule import connect_timeout, next_probe, phase_of

SPREAD = 0.002
"""Seconds between the first probes of endpoints that are new together."""
TARDY = 2.0
"""Seconds by which a probe may be late, or under way, and still be on schedule."""


@dataclass(slots=True, eq=False)
class _Endpoint:
    primary: Primary
    phase: float
    seen: Seen = field(default_factory=Seen)
    said: Said = Said.NOTHING  # what the last probe was answered
    started: float = float("-inf")
    due: float = 0.0
    hurried_at: float = float("-inf")
    timer: asyncio.TimerHandle | None = None
    task: asyncio.Task[None] | None = None


class Prober:
    """``hostname``: what we call ourselves in EHLO. ``heard(primary, answer, started)``: told of every probe, with the
    moment it began on the loop's clock."""

    def __init__(
        self,
        settings: Watch,
        endpoints: Endpoints,
        clock: Clock,
        hostname: str,
        heard: Callable[[Primary, Answer, float], None],
    ) -> None:
        self._settings = settings
        self._lookup = endpoints
        self._clock = clock
        self._hostname = hostname
        self._heard = heard
        self._endpoints: dict[Primary, _Endpoint] = {}

    def reconfigure(self, settings: Watch) -> None:
        """Take over changed settings, from each endpoint's next probe on."""
        self._settings = settings

    def keep(self, wanted: Collection[Primary]) -> set[Primary]:
        """Probe these and no others from now on; returns those that were given up."""
        given_up = self._endpoints.keys() - set(wanted)
        for primary in given_up:
            self._end(self._endpoints.pop(primary))
        now = asyncio.get_running_loop().time()
        for count, primary in enumerate(primary for primary in wanted if primary not in self._endpoints):
            endpoint = self._endpoints[primary] = _Endpoint(primary, phase_of(primary))
            self._schedule(endpoint, now + count * SPREAD)
        return given_up

    def seen(self, primary: Primary) -> Seen:
        """What the probes of an endpoint have shown so far."""
        endpoint = self._endpoints.get(primary)
        return endpoint.seen if endpoint else Seen()

    def hurry(self, primary: Primary) -> None:
        """Somebody doubts this endpoint: probe it at once, or after the probe under way, but not over and over."""
        endpoint = self._endpoints.get(primary)
        if endpoint is None:
            return
        now = endpoint.hurried_at = asyncio.get_running_loop().time()
        if endpoint.task is None:
            self._schedule(endpoint, min(endpoint.due, self._hurried(endpoint, now)))

    def on_schedule(self, primary: Primary) -> bool:
        """Whether the last probe was answered with yes, and the next one isn't overdue. One by which nothing was learnt
        vouches for nobody."""
        endpoint = self._endpoints.get(primary)
        if endpoint is None or endpoint.said is not Said.OK:
            return False
        since = endpoint.due if endpoint.task is None else endpoint.started
        return asyncio.get_running_loop().time() - since < TARDY

    async def stop(self) -> None:
        """End every probe, also those under way."""
        endpoints = list(self._endpoints.values())
        self._endpoints.clear()
        for endpoint in endpoints:
            self._end(endpoint)
        await asyncio.gather(*(each.task for each in endpoints if each.task is not None), return_exceptions=True)

    def _end(self, endpoint: _Endpoint) -> None:
        if endpoint.timer is not None:
            endpoint.timer.cancel()
        if endpoint.task is not None:
            endpoint.task.cancel()

    def _schedule(self, endpoint: _Endpoint, due: float) -> None:
        if endpoint.timer is not None:
            endpoint.timer.cancel()
        endpoint.due = due
        endpoint.timer = asyncio.get_running_loop().call_at(due, self._begin, endpoint)

    def _begin(self, endpoint: _Endpoint) -> None:
        endpoint.timer = None
        endpoint.task = asyncio.create_task(self._probe(endpoint))

    async def _probe(self, endpoint: _Endpoint) -> None:
        loop = asyncio.get_running_loop()
        endpoint.started = loop.time()
        try:
            answer = await self._ask(endpoint)
        except Exception as error:
            events.fault("probe", error)
            answer = Answer(Said.NOTHING, f"{endpoint.primary}: {error}")
        endpoint.task, endpoint.said = None, answer.said
        endpoint.seen = note(endpoint.seen, answer, self._clock.now())
        now = loop.time()
        due = next_probe(endpoint.seen, answer.said, endpoint.started, now, self._settings, endpoint.phase)
        if endpoint.hurried_at > endpoint.started:
            due = min(due, self._hurried(endpoint, now))
        self._schedule(endpoint, due)
        try:
            self._heard(endpoint.primary, answer, endpoint.started)
        except Exception as error:
            events.fault("watch", error)

    async def _ask(self, endpoint: _Endpoint) -> Answer:
        try:
            addresses = await self._lookup.addresses(endpoint.primary)
        except LookupFailed as error:
            return Answer(Said.NOTHING, f"{endpoint.primary}: the DNS gives no answer: {error}")
        return await probe(
            endpoint.primary,
            addresses,
            hostname=self._hostname,
            connect_timeout=connect_timeout(endpoint.seen, self._settings),
            reply_timeout=self._settings.reply_timeout,
        )

    def _hurried(self, endpoint: _Endpoint, now: float) -> float:
        return max(now, endpoint.started + self._settings.down_interval / 2)
