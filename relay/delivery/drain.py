"""The drain of one appliance: one loop that hands over what is due, until nothing is, or nothing may be any more.

Promises: nothing is begun once health, the lease or a stop forbids it; what is in flight then is finished, or recorded
as unknown; while the breaker has tripped, one message now and then tries whether it may go on, or, where none waits,
the question at RCPT alone, or one of those that it holds where that question says nothing.
"""

from __future__ import annotations

import asyncio
from itertools import islice

from relay import events
from relay.appliances.progress import Handback, Phase, Progress
from relay.appliances.pulse import Reach
from relay.delivery.backlog import Backlog
from relay.delivery.breaker import Trip
from relay.delivery.courier import open_connection
from relay.delivery.crew import UNRECORDED, Crew
from relay.delivery.guard import Guard
from relay.delivery.means import Means
from relay.delivery.meter import Signs
from relay.delivery.news import News, wait_for
from relay.delivery.pace import Pace
from relay.delivery.recorder import Recorder
from relay.delivery.route import Destination, Hops
from relay.mail import domain_of
from relay.smtp.failure import Failure, Stage

TICK = 1.0
"""Seconds after which the drain looks around though nothing has happened."""
ASK_WITHIN = 30.0
"""Seconds for a question at RCPT."""
LINGER = 60.0
"""Seconds that what is in flight gets to finish once the primary is out of reach."""
STOP_WITHIN = 15.0
"""The same when the node stops."""
EVIDENCE_EVERY = 15.0
"""Seconds between two looks at how old the mail is that waits."""
AHEAD = 500
"""Parcels that are looked at to find out which hosts are wanted."""


class Drain:
    """Made for one run. ``guard``: None where nobody watches the destination's health; ``returned_at``: when the
    primary came back, if that may be news."""

    def __init__(
        self, destination: Destination, guard: Guard | None, means: Means, *, returned_at: float | None = None
    ) -> None:
        self.nudged = False
        """Something may have changed since the drain looked around for the last time."""
        self._destination = destination
        self._guard = guard
        self._returned_at = returned_at
        self._queue = means.queue
        self._evidence = means.evidence
        self._clock = means.clock
        self._means = means
        self._news = News()
        self._hops = Hops(destination, means.clock, means.appointments, lambda: self._crew.pressure.begin_ramp())
        self._backlog = Backlog(
            means.queue, destination.id, means.clock, self._hops.split, means.breakdowns, self._news.announce
        )
        self._recorder = Recorder(destination, guard, self._backlog, means)
        self._crew = Crew(destination, means, self._hops, self._backlog, self._recorder, self._news, self._may_begin)
        self._stopping = False  # the node stops
        self._over = False  # the loop has ended, for whatever reason
        self._asked = 0
        self._next_at: float | None = None
        self._evidence_at = 0.0
        self._began_at = means.clock.monotonic()

    def nudge(self) -> None:
        """There may be more to do, or less: mail was accepted or released, health changed."""
        self.nudged = True
        self._backlog.rewind()
        self._news.announce()

    def stop(self) -> None:
        """The node stops: begin nothing more; ``run`` returns when what is in flight has its outcome."""
        self._stopping = True
        self._news.announce()

    @property
    def going_on(self) -> bool:
        """Whether it hands anything over: not while it only waits for what is in flight."""
        return self._may_begin()

    @property
    def pace(self) -> Pace:
        return self._crew.pressure.pace

    def progress(self) -> Progress:
        number, meter, now = self._destination.id, self._recorder.meter, self._clock.now()
        return Progress(
            number,
            self._means.settings.node.name,
            meter.began_at,
            now,
            self._phase(),
            self._recorder.tried,
            self._queue.depth(number).queued,
            meter.rate(now),
            meter.moved_at,
            self._why(now),
        )

    def take_handbacks(self) -> dict[int, Handback]:
        """What was handed over since this was last asked, by outage."""
        return self._recorder.meter.take(self._clock.now())

    def _phase(self) -> Phase:
        if self._guard is not None and self._guard.trip is not None:
            return Phase.STOPPED
        return Phase.CANARY if self.pace.canary else Phase.RUNNING

    def _why(self, now: float) -> str:
        if self._guard is not None and self._guard.trip is not None:
            return self._guard.trip.reason
        p95 = self._evidence.view(self._destination.id, now).p95_reply
        return self._recorder.meter.why(Signs(self.pace, p95, self._recorder.waiting > UNRECORDED), now)

    async def run(self) -> float | None:
        """Hand over what is due. Returns when nothing is left to do now: the time to look again, None for never.

        Raises Deferred where the queue's writer has ended.
        """
        await self._begin()
        recording = asyncio.create_task(self._record())
        try:
            while self._may_begin() and not recording.done():
                news, nudged, self.nudged = self._news.next, self.nudged, False
                await self._look_around(nudged)
                if self._idle() and await self._nothing_left():
                    break
                await wait_for(news, TICK)
        finally:
            self._over = True
            await self._come_home(recording)
            self._crew.cut_off()
            await self._backlog.close()
            self._recorder.finish()
            await recording
        await self._note_oldest()
        self._say_goodbye()
        now = self._clock.now()
        return await self._next_attempt(now) if self._backlog.exhausted else now + TICK

    def _may_begin(self) -> bool:
        return (
            not self._stopping
            and not self._over
            and self._destination.reach() is not Reach.NO
            and self._means.owns(self._destination.id)
        )

    async def _begin(self) -> None:
        self._backlog.read_ahead()
        self._next_at = self._clock.now() + TICK
        if self._guard is not None:
            await self._guard.load()
            if self._guard.returned_at is not None and not self.pace.canary:
                self._returned_at = None  # no news: whoever drained before this node or this start has seen it
            if self._returned_at is not None:
                await self._guard.returned(self._returned_at)
                events.drain_began(self._destination.name, self._queue.depth(self._destination.id).queued)
            if self._guard.trip is not None:
                self._heed_breaker()
                self._crew.holds_until = self._clock.now()

    async def _look_around(self, nudged: bool) -> None:
        now = self._clock.now()
        if nudged and self._guard is not None and self._guard.trip is not None:
            await self._guard.look()
        self._heed_breaker()
        self._crew.heed_reach()
        self._crew.pressure.heed_limits()
        self._crew.call_back()
        nearest = self._recorder.nearest_retry()
        if nearest is not None:
            self._next_at = min(nearest, self._next_at or nearest)
        if self._next_at is not None and now >= self._next_at:
            self._backlog.rewind()
            self._next_at = await self._next_attempt(now)
        self._backlog.read_ahead()
        await self._hops.look_up(parcel.recipients[0].domain for parcel in islice(self._backlog.parcels(), AHEAD))
        holds_until = self._crew.holds_until
        if holds_until is not None and now >= holds_until and self._backlog.exhausted:
            await self._probe()
        self._crew.send_out()
        if self._clock.monotonic() - self._evidence_at > EVIDENCE_EVERY:
            await self._note_oldest()

    def _idle(self) -> bool:
        return self._crew.empty and self._backlog.exhausted

    async def _nothing_left(self) -> bool:
        """Whether the drain may end. It stays while the breaker has tripped, to find out when it may go on."""
        if self._guard is not None:
            await self._guard.exhausted()
            self._heed_breaker()
        return self._crew.holds_until is None and self._idle()

    async def _come_home(self, recording: asyncio.Task[None]) -> None:
        """Wait for what is in flight; cut it off when it takes too long, or when the primary has come back already."""
        began, reach = self._clock.monotonic(), self._destination.reach()
        self._crew.call_home()
        self._news.announce()
        while (not self._crew.empty or self._backlog.claimed) and not recording.done():
            news = self._news.next
            limit = STOP_WITHIN if self._stopping else LINGER
            back = reach is Reach.NO and self._destination.reach() is not Reach.NO
            if back or self._clock.monotonic() - began > limit:
                self._crew.cut_off()
            await wait_for(news, TICK)

    async def _record(self) -> None:
        while await self._recorder.more():
            await self._recorder.record()
            self._heed_breaker()
            self._news.announce()

    async def _next_attempt(self, now: float) -> float | None:
        """The nearest retry time of what was deferred, not before the next tick."""
        nearest = (await self._queue.waiting(self._destination.id)).next_attempt_at
        return None if nearest is None else max(nearest, now + TICK)

    async def _note_oldest(self) -> None:
        """For health: since when mail waits that nobody has deferred, though it could be handed over."""
        if self._guard is not None:
            self._evidence_at = self._clock.monotonic()
            oldest = None
            if self._destination.reach() is not Reach.NO:
                oldest = (await self._queue.waiting(self._destination.id)).undeferred_since
            if oldest is not None:
                oldest = max(oldest, self._guard.returned_at or oldest)
            self._evidence.note_oldest(self._destination.id, oldest)

    def _say_goodbye(self) -> None:
        name, seconds = self._destination.name, self._clock.monotonic() - self._began_at
        events.ramp(name, 0)
        if self._backlog.exhausted and self._returned_at is not None:
            events.drain_ended(name, self._recorder.tried, seconds)
        elif not self._backlog.exhausted and not self._stopping:
            gone = self._destination.reach() is Reach.NO
            events.drain_paused(name, "the primary is out of reach" if gone else "this node has no lease for it now")

    # The breaker

    def _heed_breaker(self) -> None:
        tripped = self._guard is not None and self._guard.trip is not None
        if tripped and self._guard is not None:
            self._crew.probe_every = self._guard.pause()
        if tripped is not (self._crew.holds_until is not None):
            self._crew.holds_until = self._clock.now() + self._crew.probe_every if tripped else None
            self._crew.canary()
            self._backlog.rewind()

    async def _probe(self) -> None:
        """Nothing else waits: find out without whether the drain may go on."""
        trip = self._guard.trip if self._guard else None
        if self._guard is None or trip is None:
            return
        if trip.addresses:
            self._crew.holds_until = self._clock.now() + self._crew.probe_every
            await self._ask(self._guard, trip)
        elif await self._guard.try_again():
            self._backlog.rewind()
        else:
            self._crew.holds_until = self._clock.now() + self._crew.probe_every

    async def _ask(self, guard: Guard, trip: Trip) -> None:
        """Whether a recipient that the breaker tripped for would be accepted now; nothing is sent."""
        address = trip.addresses[self._asked % len(trip.addresses)]
        self._asked += 1
        await self._hops.look_up((domain_of(address),))
        primary = self._hops.any_of(domain_of(address))
        if primary is None:
            return
        try:
            async with asyncio.timeout(ASK_WITHIN):
                connection = await open_connection(self._destination, primary, self._means.settings)
                try:
                    stage, reply = await connection.ask_recipient(address)
                    await connection.quit()
                finally:
                    connection.close()
        except (Failure, TimeoutError):
            self._hops.host(primary).failed(self._clock.monotonic())
            return
        if stage is Stage.RCPT and reply.positive:
            await guard.asked(address)
            self._heed_breaker()
