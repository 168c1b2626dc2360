"""The connections of one drain: how many there are, what each carries next, and what is learnt when one ends.

Promises: a canary is alone until its outcome is recorded, or its host silent for so long that another one gets a
canary; no host gets a connection past the width of its ramp, nor all of them together past the limit, and those that
are too many go home with their next message; no message is begun faster than the operator's ceiling; one connection in
four takes the newest mail first, or, where there are fewer, every fourth message is the newest. Trouble with a
connection counts against its host, never against a message that the host hadn't turned to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from relay import events
from relay.appliances.pulse import Reach
from relay.delivery import greylisting
from relay.delivery.backlog import Backlog
from relay.delivery.breaker import PROBE_EVERY
from relay.delivery.contents import Contents
from relay.delivery.courier import Courier
from relay.delivery.host import Host
from relay.delivery.means import Means
from relay.delivery.news import News, wait_for
from relay.delivery.outcome import POISON
from relay.delivery.pressure import Pressure
from relay.delivery.recorder import Recorder
from relay.delivery.roster import Roster
from relay.delivery.route import Destination, Hops
from relay.queue.model import Outgoing
from relay.smtp.failure import Failure, Kind
from relay.smtp.transaction import Result

IDLE = 5.0
"""Seconds that a connection waits for more mail before QUIT."""
LOOK = 1.0
"""Seconds after which a waiting connection looks around though nothing has happened."""
UNRECORDED = 1000
"""Messages that may be answered and not yet recorded, before the next has to wait."""
TURN = 0.01
"""Seconds that a connection waits at least for the ceiling's next message: others wait for it too."""
STAYS = 30.0
"""Seconds until the ceiling's next message for which the last connection stays."""
ERRORS = 4
"""Refusals in a row after which a connection goes home, for another to begin from nought: while those on their way are
refused too, Postfix for one slows down at ten, and hangs up at twenty."""
SMALL = 256 * 1024
"""Octets of a message above which the time of its reply says more of its size than of the primary."""


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
        self.probe_every = PROBE_EVERY
        """Seconds between two attempts while it has."""
        self._destination = destination
        self._means = means
        self._hops = hops
        self._backlog = backlog
        self._recorder = recorder
        self._news = news
        self._contents = Contents(means.queue, backlog.parcels)
        self._portion = means.memory.portion()
        self._eras: dict[int, int] = {}  # of its host's ramp when a parcel was begun, by its first recipient
        self._given = 0  # messages, since the drain began
        self._reach = destination.reach()
        self._canary_answered = False
        self._roster = Roster(hops)
        self.pressure = Pressure(destination, means, hops, news, canary=self._reach is Reach.CANARY)

    @property
    def empty(self) -> bool:
        return not self._roster

    @property
    def _quiet(self) -> bool:
        """Nothing is in flight, and the breaker hasn't tripped."""
        return not self._backlog.claimed and self.holds_until is None

    # How many

    def canary(self) -> None:
        """From now on one message at a time, until one is taken."""
        self._canary_answered = False
        self.pressure.begin_canary()

    def heed_reach(self) -> None:
        """A primary that was silent in between gets a canary again; for one that is up, one answer is enough."""
        before, self._reach = self._reach, self._destination.reach()
        if before is Reach.YES and self._reach is Reach.CANARY:
            self.canary()
        elif self._reach is Reach.YES and self._canary_answered and self._quiet:
            self.pressure.proven()

    def send_out(self) -> None:
        """As many couriers as there is work for, each with two messages at least, and as ramp and ceiling allow."""
        while self._may_claim() and self._roster.counted < self.pressure.allowed and not self._paced():
            found = self._hops.next(self._backlog.parcels())
            if found is None:
                return
            primary, parcel = found
            free = sum(
                courier.waiting and self._hops.serves(courier.primary, parcel) for courier in self._roster.couriers
            )
            if self._backlog.unclaimed <= 2 * free:
                return
            courier = Courier(
                self,
                self._roster.slot(),
                self._hops.host(primary).ramp.era,
                primary,
                self._destination,
                self._means.settings,
                self._contents,
                self._portion,
                self._means.in_flight,
                self._means.flaws,
            )
            courier.sent_at = self._means.clock.monotonic()
            self._roster.send(courier, self._came_back)

    def call_back(self) -> None:
        """Those who get no session at a host that isn't the only one: another shall have the mail meanwhile. Those who
        wait there for an answer have to, and aren't in another's way."""
        now = self._means.clock.monotonic()
        self._roster.look_for_silence(now)
        for task, courier in self._roster.under_way:
            host = self._hops.host(courier.primary)
            late = not courier.arrived and now - courier.sent_at > host.patience
            if late and self._hops.replaceable(courier.primary):
                text = f"no session within {host.patience:.0f} s, and there are other hosts"
                host.failed(now)
                task.cancel()
                events.connection_failed(self._destination.name, str(courier.primary), text)
                self._destination.suspect()

    def call_home(self) -> None:
        """Nothing may be begun any more: those who are still on their way there turn round."""
        self._contents.forget()
        for task, _ in self._roster.under_way:
            task.cancel()

    def cut_off(self) -> None:
        """End every connection; what is in flight is unknown."""
        for courier in self._roster.couriers:
            courier.close()

    def _may_claim(self) -> bool:
        """Whether it is time for one more message."""
        if not self.may_begin() or self._recorder.waiting > UNRECORDED:
            return False
        if self.holds_until is not None and self._means.clock.now() < self.holds_until:
            return False
        return not self.pressure.canary or self._backlog.claimed <= self._roster.overdue

    def _paced(self) -> bool:
        """Whether the ceiling leaves nothing to do for one more connection."""
        if not self.pressure.has_ceiling:
            return False
        return self.pressure.pause() > 0 or any(courier.waiting for courier in self._roster.couriers)

    # What couriers say to it

    async def next(self, courier: Courier) -> Outgoing | None:
        """The next parcel for a courier, which waits a while for it; None: go home."""
        self._note_timings(courier)
        host = self._hops.host(courier.primary)
        clock = self._means.clock
        leaves_at = clock.monotonic() + IDLE
        courier.waiting = True
        while self.may_begin() and self._may_stay(courier, host):
            news = self._news.next
            may_claim, pause = self._may_claim(), self.pressure.pause()
            parcel = self._claim(courier) if may_claim and not pause else None
            if parcel is not None and self._means.breakdowns.get(parcel.id, 0) >= POISON:
                self._recorder.add(parcel, None)
            elif parcel is not None and self._hops.outdone(courier.primary, parcel):
                self._backlog.put_back(parcel)
                break
            elif parcel is not None:
                self._give(courier, host, parcel)
                return parcel
            else:
                left = leaves_at - clock.monotonic()
                if left <= 0 and not (self.pressure.canary and self._backlog.claimed) and not self._last(pause):
                    break
                longest = max(left, LOOK)
                await wait_for(news, min(longest, max(pause, TURN)) if may_claim and pause else longest)
        self._roster.leaves(courier)
        self._news.announce()
        return None

    def _may_stay(self, courier: Courier, host: Host) -> bool:
        """Whether a connection isn't one too many, and hasn't heard no too often."""
        return courier.errors < ERRORS and not host.crowded and self._roster.staying <= self.pressure.allowed

    def _last(self, pause: float) -> bool:
        """Whether this is the only connection, and stays because it waits for the ceiling alone."""
        return 0 < pause < STAYS and self._backlog.unclaimed > 0 and self._roster.staying == 1

    def _claim(self, courier: Courier) -> Outgoing | None:
        newest = self._roster.takes_newest(courier, self._given)
        fits = partial(self._hops.serves, courier.primary)
        return self._backlog.claim(fits, newest=newest, preferred=courier.preferred)

    def _give(self, courier: Courier, host: Host, parcel: Outgoing) -> None:
        courier.waiting = False
        self._given += 1
        self.pressure.begun()
        self._eras[parcel.recipients[0].id] = host.ramp.era
        host.given(self._means.clock.monotonic())
        if self.holds_until is not None:
            self.holds_until = self._means.clock.now() + self.probe_every

    def answered(self, courier: Courier, parcel: Outgoing, result: Result) -> None:
        self._recorder.add(parcel, result, courier.primary.host)
        host, era = self._hops.host(courier.primary), self._taken_back(courier, parcel)
        if all(answer.local for answer in result.answers):
            return
        self._canary_answered = True
        host.answered(self._means.clock.monotonic())
        delivered = any(answer.delivered for answer in result.answers)
        if delivered:
            self.pressure.proven()
        if self._greylisted(courier, parcel, result) or delivered:
            self.pressure.clean(host, era, _reply_time(parcel, result))

    def put_back(self, courier: Courier, parcel: Outgoing) -> None:
        self._taken_back(courier, parcel)
        self._backlog.put_back(parcel)

    def gone(self, courier: Courier, parcel: Outgoing) -> None:
        self._taken_back(courier, parcel)
        self._backlog.settle(parcel)
        self._news.announce()

    def broke_down(self, courier: Courier, parcel: Outgoing, error: BaseException) -> None:
        events.fault("delivery", error)
        self._taken_back(courier, parcel)
        self._recorder.add(parcel, None)

    def _taken_back(self, courier: Courier, parcel: Outgoing) -> int:
        """A parcel that was given has its end. Returns the era in which it was."""
        self._hops.host(courier.primary).done()
        return self._eras.pop(parcel.recipients[0].id)

    def _greylisted(self, courier: Courier, parcel: Outgoing, result: Result) -> bool:
        """Whether somebody was, who then is expected at the same host again. That is an answer like another, and no
        push-back: what was begun goes on as widely as before."""
        found = False
        for recipient, answer in zip(parcel.recipients, result.answers, strict=True):
            if greylisting.wait(answer, recipient.attempts) is None:
                self._means.appointments.over(recipient.id)
            else:
                self._means.appointments.make(recipient.id, courier.primary)
                found = True
        return found

    def _note_timings(self, courier: Courier) -> None:
        now = self._means.clock.now()
        for seconds in courier.timings:
            self._means.evidence.note_reply(self._destination.id, seconds, now)
        courier.timings = ()

    def _came_back(self, task: asyncio.Task[None]) -> None:
        courier = self._roster.back(task)
        host = self._hops.host(courier.primary)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Failure):
            self._connection_failed(courier, host, error)
        elif error is not None:
            events.fault("delivery", error)
            host.failed(self._means.clock.monotonic())
        self._news.announce()

    def _connection_failed(self, courier: Courier, host: Host, failure: Failure) -> None:
        if courier.answered and not courier.lost and not failure.answered:
            return  # closed while it was idle, or with a message that it hadn't turned to: servers do that
        if not courier.answered:
            host.failed(self._means.clock.monotonic())
        if failure.kind is Kind.LOCAL:
            events.fault("delivery", failure)
            return
        events.connection_failed(self._destination.name, str(courier.primary), str(failure))
        self._recorder.meter.trouble(f"{courier.primary}: {failure}", self._means.clock.now())
        others = (other for other in self._roster.couriers if other.primary == courier.primary)
        gone = not failure.answered and not courier.answered and not any(other.answered for other in others)
        self.pressure.pushed_back(host, courier.era, str(failure), gone=gone)
        if failure.reply is None or failure.reply.permanent:
            self._destination.suspect()


def _reply_time(parcel: Outgoing, result: Result) -> float | None:
    """Seconds that the reply to the end of the data took; None where there was none, or where the size decides."""
    delivered = any(answer.delivered for answer in result.answers)
    return result.seconds[-1] if delivered and result.seconds and parcel.size <= SMALL else None
