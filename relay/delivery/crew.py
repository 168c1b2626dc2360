"""The connections of one drain: how many there are, what each carries next, and what is learnt when one ends.

Promises: a canary is alone until its outcome is recorded; no connection is opened past the width of the ramp, and
those that are too many go home with their next message; one connection in four takes the newest mail first. Trouble
with a connection counts against the primary, never against a message that it hadn't turned to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from relay import events
from relay.appliances.pulse import Reach
from relay.delivery.backlog import Backlog
from relay.delivery.contents import Contents
from relay.delivery.courier import Courier
from relay.delivery.means import Means
from relay.delivery.news import News, wait_for
from relay.delivery.outcome import POISON
from relay.delivery.ramp import Ramp
from relay.delivery.recorder import Recorder
from relay.delivery.route import Destination, Hops
from relay.queue.model import Outgoing
from relay.smtp.failure import Failure, Kind
from relay.smtp.transaction import Result

IDLE = 5.0
"""Seconds that a connection waits for more mail before QUIT."""
LOOK = 1.0
"""Seconds after which a waiting connection looks around though nothing has happened."""
NEWEST = 4
"""One connection in so many takes the newest mail first."""
PROBE_EVERY = 30.0
"""Seconds between two attempts while the breaker has tripped."""
UNRECORDED = 1000
"""Messages that may be answered and not yet recorded, before the next has to wait."""


class Crew:
    """``may_begin``: whether health, lease and node allow that a message is begun."""

    def __init__(
        self,
        destination: Destination,
        means: Means,
        hops: Hops,
        backlog: Backlog,
        recorder: Recorder,
        news: News,
        may_begin: Callable[[], bool],
    ) -> None:
        self.may_begin = may_begin
        self.holds_until: float | None = None
        """The breaker has tripped: the next message may try from then on (POSIX seconds)."""
        self._destination = destination
        self._means = means
        self._hops = hops
        self._backlog = backlog
        self._recorder = recorder
        self._news = news
        self._contents = Contents(means.queue, backlog.parcels)
        self._portion = means.memory.portion()
        self._couriers: dict[asyncio.Task[None], Courier] = {}
        self._reach = destination.reach()
        self._canary_answered = False
        self._ramp = self._begin_ramp(canary=self._reach is Reach.CANARY)

    @property
    def empty(self) -> bool:
        return not self._couriers

    @property
    def _quiet(self) -> bool:
        """Nothing is in flight, and the breaker hasn't tripped."""
        return not self._backlog.claimed and self.holds_until is None

    @property
    def ramp(self) -> Ramp:
        return self._ramp

    # How many

    def canary(self) -> None:
        """From now on one message at a time, until one is taken."""
        self._canary_answered = False
        self._set_ramp(self._begin_ramp(canary=True))

    def heed_reach(self) -> None:
        """A primary that was silent in between gets a canary again; for one that is up, one answer is enough."""
        before, self._reach = self._reach, self._destination.reach()
        if before is Reach.YES and self._reach is Reach.CANARY:
            self.canary()
        elif self._reach is Reach.YES and self._canary_answered and self._quiet:
            self._set_ramp(self._ramp.proven())

    def send_out(self) -> None:
        """As many couriers as there is work for, each with two messages at least, and as the ramp allows."""
        while self._may_claim() and len(self._couriers) < self._ramp.width:
            free = sum(courier.waiting for courier in self._couriers.values())
            primary = self._hops.next(parcel.recipients[0].domain for parcel in self._backlog.parcels())
            if self._backlog.unclaimed <= 2 * free or primary is None:
                return
            taken = {courier.slot for courier in self._couriers.values()}
            slot = next(slot for slot in range(len(taken) + 1) if slot not in taken)
            courier = Courier(
                self,
                slot,
                self._ramp.era,
                primary,
                self._destination,
                self._means.settings,
                self._contents,
                self._portion,
                self._means.in_flight,
                self._means.flaws,
            )
            task = asyncio.create_task(courier.run())
            self._couriers[task] = courier
            task.add_done_callback(self._came_back)

    def call_home(self) -> None:
        """Nothing may be begun any more: those who are still on their way there turn round."""
        self._contents.forget()
        for task, courier in list(self._couriers.items()):
            if not courier.connected:
                task.cancel()

    def cut_off(self) -> None:
        """End every connection; what is in flight is unknown."""
        for courier in self._couriers.values():
            courier.close()

    def _begin_ramp(self, *, canary: bool) -> Ramp:
        settings = self._means.settings.delivery
        return Ramp.begin(settings.max_connections, canary=canary, gentle=settings.ramp)

    def _set_ramp(self, ramp: Ramp) -> None:
        before, self._ramp = self._ramp, ramp
        if ramp.width != before.width or ramp.canary != before.canary:
            events.ramp(self._destination.name, ramp.width)
            self._news.announce()

    def _may_claim(self) -> bool:
        """Whether it is time for one more message."""
        if not self.may_begin() or self._recorder.waiting > UNRECORDED:
            return False
        if self.holds_until is not None and self._means.clock.now() < self.holds_until:
            return False
        return not self._ramp.canary or not self._backlog.claimed

    # What couriers say to it

    async def next(self, courier: Courier) -> Outgoing | None:
        """The next parcel for a courier, which waits a while for it; None: go home."""
        self._note_timings(courier)
        clock = self._means.clock
        fits = partial(self._hops.serves, courier.primary)
        newest = courier.slot % NEWEST == NEWEST - 1
        leaves_at = clock.monotonic() + IDLE
        courier.waiting = True
        while self.may_begin() and courier.slot < self._ramp.width:
            news = self._news.next
            parcel = self._backlog.claim(fits, newest=newest) if self._may_claim() else None
            if parcel is not None and self._means.breakdowns.get(parcel.id, 0) >= POISON:
                self._recorder.add(parcel, None)
            elif parcel is not None:
                courier.waiting = False
                if self.holds_until is not None:
                    self.holds_until = clock.now() + PROBE_EVERY
                return parcel
            else:
                left = leaves_at - clock.monotonic()
                if left <= 0 and not (self._ramp.canary and self._backlog.claimed):
                    return None
                await wait_for(news, max(left, LOOK))
        return None

    def answered(self, courier: Courier, parcel: Outgoing, result: Result) -> None:
        self._recorder.add(parcel, result)
        if any(answer.delivered for answer in result.answers):
            self._set_ramp(self._ramp.taken())
        if not all(answer.local for answer in result.answers):
            self._canary_answered = True
            self._hops.worked(courier.primary)

    def put_back(self, parcel: Outgoing) -> None:
        self._backlog.put_back(parcel)

    def gone(self, parcel: Outgoing) -> None:
        self._backlog.settle(parcel)
        self._news.announce()

    def broke_down(self, parcel: Outgoing, error: BaseException) -> None:
        events.fault("delivery", error)
        self._recorder.add(parcel, None)

    def _note_timings(self, courier: Courier) -> None:
        now = self._means.clock.now()
        for seconds in courier.timings:
            self._means.evidence.note_reply(self._destination.id, seconds, now)
        courier.timings = ()

    def _came_back(self, task: asyncio.Task[None]) -> None:
        courier = self._couriers.pop(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Failure):
            self._connection_failed(courier, error)
        elif error is not None:
            events.fault("delivery", error)
            self._hops.failed(courier.primary)
        self._news.announce()

    def _connection_failed(self, courier: Courier, failure: Failure) -> None:
        if courier.answered and not courier.lost and not failure.answered:
            return  # closed while it was idle, or with a message that it hadn't turned to: servers do that
        if not courier.answered:
            self._hops.failed(courier.primary, silent=failure.kind is Kind.TIMEOUT)
        if failure.kind is Kind.LOCAL:
            events.fault("delivery", failure)
            return
        events.connection_failed(self._destination.name, str(courier.primary), str(failure))
        self._recorder.meter.trouble(f"{courier.primary}: {failure}", self._means.clock.now())
        self._set_ramp(self._ramp.pushed_back(courier.era))
        if failure.reply is None or failure.reply.permanent:
            self._destination.suspect()
