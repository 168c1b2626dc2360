"""Writes down what became of messages: outcomes to the queue, in groups, and what they show to those who want to know.

Promises: an outcome is on disk before its recipient may be handed out again; a recipient that a primary has taken is
recorded as delivered whatever happens meanwhile. Tells events, evidence and the guard of each answer; decides nothing
itself (see ``outcome``).
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass

from relay import events, log
from relay.clock import iso
from relay.delivery import greylisting, poison
from relay.delivery.backlog import Backlog
from relay.delivery.breaker import Heard
from relay.delivery.guard import Guard
from relay.delivery.means import Means
from relay.delivery.meter import Meter
from relay.delivery.outcome import Circumstances, broken_down, decide
from relay.delivery.route import Destination
from relay.mail import Reply
from relay.queue.model import Due, Outcome, Outgoing
from relay.queue.states import State
from relay.smtp.failure import Stage
from relay.smtp.transaction import Answer, Result

SENDERS = 3
"""So many senders refused at MAIL, and none taken in between: it is us who are refused."""
_TAKEN = Reply(250, "2.1.5", "Ok")
"""What RCPT was answered where something later was refused."""
ADDRESS_STATUS = ("5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10")
"""RFC 3463 3.2, RFC 7505: of the recipient's address, whoever sends."""
GATHERED = 200
"""Messages recorded at once."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A parcel and what became of it; None: this program broke down at it. ``remote``: the host that answered."""

    parcel: Outgoing
    result: Result | None
    remote: str


class Recorder:
    """For one drain. ``add`` when an answer is there; ``record`` writes what has gathered."""

    def __init__(self, destination: Destination, guard: Guard | None, backlog: Backlog, means: Means) -> None:
        self._destination = destination
        self._guard = guard
        self._backlog = backlog
        self._db = means.db
        self._queue = means.queue
        self._evidence = means.evidence
        self._clock = means.clock
        self._breakdowns = means.breakdowns
        self._heard = means.heard
        self._waiting: deque[Answered] = deque()
        self._something = asyncio.Event()
        self._finishing = False
        self._refused_senders = destination.refused_senders
        self._nearest_retry: float | None = None
        self.tried = 0
        """Recipients that have an outcome."""
        self.meter = Meter(means.clock.now())

    @property
    def waiting(self) -> int:
        """Messages whose outcome is not on disk yet."""
        return len(self._waiting)

    def nearest_retry(self) -> float | None:
        """The nearest retry time that was recorded since this was last asked."""
        nearest, self._nearest_retry = self._nearest_retry, None
        return nearest

    def add(self, parcel: Outgoing, result: Result | None, remote: str = "") -> None:
        """``result``: None where this program broke down at it."""
        self._waiting.append(Answered(parcel, result, remote))
        self._something.set()

    def finish(self) -> None:
        """Nothing more will come."""
        self._finishing = True
        self._something.set()

    async def more(self) -> bool:
        """Wait until there is something to record; False when it is finished."""
        if not self._waiting and not self._finishing:
            await self._something.wait()
        self._something.clear()
        return bool(self._waiting) or not self._finishing

    async def record(self) -> None:
        """Write down what has gathered. Raises Deferred once the queue's writer has ended."""
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), GATHERED))]
            if self._guard is None:
                await self._record(batch, provisional=False)
            else:
                async with self._guard.lock:
                    outcomes = await self._record(batch, provisional=self._guard.provisional(self._clock.now()))
                    await self._attempt(self._guard.note(_heard(batch, outcomes)))

    async def _record(self, batch: Sequence[Answered], *, provisional: bool) -> dict[int, Outcome]:
        """The outcomes by recipient."""
        now = self._clock.now()
        await self._attempt(self._book_breakdowns(batch, now))
        outcomes: list[Outcome] = []
        for answered in batch:
            outcomes += self._outcomes(answered, provisional, now)
        await self._queue.record(outcomes)
        await self._attempt(self._forget_breakdowns(outcomes))
        by_recipient = {outcome.recipient_id: outcome for outcome in outcomes}
        with log.together():
            for answered in batch:
                for recipient in answered.parcel.recipients:
                    self._tell(answered.parcel, recipient, by_recipient[recipient.id])
                self._backlog.settle(answered.parcel)
        return by_recipient

    def _outcomes(self, answered: Answered, provisional: bool, now: float) -> list[Outcome]:
        parcel, result = answered.parcel, answered.result
        if result is None:
            times = self._breakdowns[parcel.id]
            return [broken_down(parcel.id, due.id, times, random.random(), now) for due in parcel.recipients]  # noqa: S311
        self._learn(parcel, result, provisional, now)
        others = any(answer.stage is not Stage.RCPT or answer.delivered for answer in result.answers)
        outcomes = []
        for recipient, answer in zip(parcel.recipients, result.answers, strict=True):
            only_us = not recipient.attempts or len(self._refused_senders) >= SENDERS
            seen = Circumstances(recipient.attempts, provisional, others, only_us, random.random())  # noqa: S311
            outcomes.append(decide(answer, parcel.id, recipient.id, seen, now, answered.remote))
        return outcomes

    def _learn(self, parcel: Outgoing, result: Result, provisional: bool, now: float) -> None:
        """What the answers show of the primary."""
        evidence, appliance_id = self._evidence, self._destination.id
        for seconds in result.seconds:
            evidence.note_reply(appliance_id, seconds, now)
        for recipient, answer in zip(parcel.recipients, result.answers, strict=True):
            if answer.local:
                continue
            if answer.stage is not Stage.MAIL:
                self._refused_senders.clear()
                said = answer.reply if answer.stage is Stage.RCPT else _TAKEN
                about_him = _about_the_recipient(answer, result)
                if self._guard is not None and about_him and not (provisional and said.permanent):
                    self._heard(recipient.address, said)
                # Whatever it is called, greylisting defers the first attempt.
                expected = recipient.attempts and about_him and greylisting.wait(answer, recipient.attempts) is None
                if expected or not answer.reply.temporary:
                    evidence.note_recipient(appliance_id, answer.reply.temporary, now)
            elif answer.reply.permanent:
                if len(self._refused_senders) < SENDERS:
                    self._refused_senders.add(parcel.sender)
                if len(self._refused_senders) >= SENDERS:
                    evidence.note_refusal(appliance_id, str(answer.reply), now)

    def _tell(self, parcel: Outgoing, recipient: Due, outcome: Outcome) -> None:
        name = self._destination.name
        self.tried += 1
        self.meter.note(parcel.outage_id, outcome)
        if outcome.state is State.DELIVERED:
            events.delivered(name, parcel.id, recipient.address, outcome.reply)
        elif outcome.state is State.HELD:
            events.held(name, parcel.id, recipient.address, str(outcome.reason), outcome.reply)
        else:
            if outcome.unknown:
                events.outcome_unknown(name, parcel.id)
            again = outcome.next_attempt_at or outcome.at
            self._nearest_retry = min(again, self._nearest_retry or again)
            events.deferred(name, parcel.id, recipient.address, outcome.reply, iso(again))

    async def _book_breakdowns(self, batch: Sequence[Answered], now: float) -> None:
        broken = {answered.parcel.id for answered in batch if answered.result is None}
        for message_id in broken:
            self._breakdowns[message_id] = self._breakdowns.get(message_id, 0) + 1
        if broken:
            await self._db.change(poison.book, broken, now)

    async def _forget_breakdowns(self, outcomes: Sequence[Outcome]) -> None:
        over = {outcome.message_id for outcome in outcomes if outcome.state is not State.QUEUED}
        over &= self._breakdowns.keys()
        for message_id in over:
            del self._breakdowns[message_id]
        if over:
            await self._db.change(poison.forget, over)

    async def _attempt(self, beside: Awaitable[None]) -> None:
        """What is written beside the outcomes may fail: they, and those that wait behind them, must be recorded."""
        try:
            await beside
        except Exception as error:
            events.fault("delivery", error)


def _about_the_recipient(answer: Answer, result: Result) -> bool:
    """Whether the answer says something of him: to RCPT, a no to the original client may be about that client."""
    return not result.as_client or answer.stage is not Stage.RCPT or answer.reply.enhanced in ADDRESS_STATUS


def _heard(batch: Sequence[Answered], outcomes: Mapping[int, Outcome]) -> Heard:
    """What all the recipients were told, for the breaker."""
    accepted: list[str] = []
    refused: list[str] = []
    deferred = taken = rejected = 0
    reply = ""
    for answered in batch:
        if answered.result is None:
            continue
        for due, answer in zip(answered.parcel.recipients, answered.result.answers, strict=True):
            if answer.local:
                continue
            if answer.stage not in (Stage.MAIL, Stage.RCPT):
                accepted.append(answer.recipient.address)
            elif answer.stage is Stage.RCPT:
                if answer.reply.permanent and _about_the_recipient(answer, answered.result):
                    refused.append(answer.recipient.address)
                else:
                    deferred += 1
            if answer.delivered:
                taken += 1
            elif answer.stage is not Stage.RCPT and outcomes[due.id].state is State.HELD:
                rejected += 1
                reply = str(answer.reply)
    return Heard(accepted, deferred, refused, taken, rejected, reply)
