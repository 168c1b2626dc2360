"""Judges mail that has failed or has waited too long, and mail whose sender asked to be told of a delay.

Promises: what is held as failed stays so only as long as it takes to judge it; nobody is told of a delay after the
message has left; nothing that can't be undone is done while the clock is in doubt, failures excepted, which are a
primary's word. A few messages at a time, oldest first. What can't be written now is judged again at the next look.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

from relay import events
from relay.clock import Clock
from relay.delivery.reports import decide
from relay.delivery.reports.opinions import Opinions
from relay.delivery.reports.vouch import Verdict, Vouching
from relay.delivery.reports.writing import DELAYED, FAILED, Writer
from relay.errors import Deferred, NotFound
from relay.queue.cases import Case, Page
from relay.queue.queue import Queue
from relay.queue.settling import Settlement
from relay.queue.states import Reason, State

LOOK = 0.5
"""Seconds between two looks for what has failed."""
SHARE = 20
"""What takes a second to read is followed by a rest of so many."""
PAUSE = 5.0
"""Seconds after a look that failed."""
AGE_EVERY = 60.0
"""Seconds between two looks for what has waited too long, or for long, and for what is long in quarantine."""
GATHER = 0.5
"""Seconds after an attempt in which other recipients of the message may still get an answer: one report for all."""
TOGETHER = 4
PAGE = 100
QUARANTINE = 14 * 86400.0
"""Seconds after which what is quarantined is dropped."""


class Judge:
    """``responsible``: the appliances that this node works for; ``name``: of an appliance; ``sending``: whether a
    message is on its way to its primary now; ``posted``: called when a report has come into being; ``keeps_house``:
    whether it is this node that drops what was long in quarantine, for all."""

    def __init__(
        self,
        queue: Queue,
        opinions: Opinions,
        writer: Writer,
        clock: Clock,
        *,
        responsible: Callable[[], Iterable[int]],
        name: Callable[[int], str],
        sending: Callable[[int], bool],
        settling: Callable[[float], bool],
        posted: Callable[[], None],
        keeps_house: Callable[[], bool],
    ) -> None:
        self._queue = queue
        self._opinions = opinions
        self._writer = writer
        self._clock = clock
        self._responsible = responsible
        self._name = name
        self._sending = sending
        self._settling = settling
        self._posted = posted
        self._keeps_house = keeps_house

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._judge_failures())
            group.create_task(self._judge_by_age())

    # What has failed

    async def _judge_failures(self) -> None:
        while True:
            reading = 0.0
            try:
                for appliance_id in await self._queue.failures.appliances() & set(self._responsible()):
                    reading += await self._failures_of(appliance_id)
            except Exception as error:  # the database is busy, or full: the next look tries again
                events.fault("reports", error)
                await asyncio.sleep(PAUSE)
            await asyncio.sleep(max(LOOK, SHARE * reading))

    async def _failures_of(self, appliance_id: int) -> float:
        """Judge them; how long it took to read what is to be judged."""
        after, reading = 0, 0.0
        while True:
            began, now = self._clock.monotonic(), self._clock.now()
            cases = await self._queue.failures.failed(appliance_id, now, after=after, limit=PAGE)
            reading += self._clock.monotonic() - began
            if not cases:
                return reading
            await self._each([case for case in cases if _gathered(case, now)], self._judge_failure)
            after = cases[-1].id

    async def _judge_failure(self, case: Case) -> None:
        await self._judge(case, expired=False)

    # What comes with time

    async def _judge_by_age(self) -> None:
        looked_at = float("-inf")
        while True:
            await asyncio.sleep(LOOK)
            now = self._clock.now()
            if now - looked_at < AGE_EVERY or self._settling(now):
                continue
            looked_at = now
            try:
                if self._keeps_house():
                    await self._drop_old(now)
                for appliance_id in self._responsible():
                    if self._queue.depth(appliance_id).queued:
                        await self._overdue_of(appliance_id, now)
                        await self._late_of(appliance_id, now)
            except Exception as error:
                events.fault("reports", error)

    async def _overdue_of(self, appliance_id: int, now: float) -> None:
        after: int | None = 0
        while after is not None:
            cases, after = await self._queue.failures.overdue(appliance_id, now, after=after, limit=PAGE)
            await self._each([case for case in cases if _may_be_asked(case, now)], self._judge_overdue)

    async def _judge_overdue(self, case: Case) -> None:
        # What is on its way now may be there in a moment: it has been tried, after all.
        if not self._sending(case.id):
            await self._judge(case, expired=True)

    async def _late_of(self, appliance_id: int, now: float) -> None:
        after: int | None = 0
        while after is not None:
            page: Page = await self._queue.failures.late(appliance_id, now - decide.WARN_AFTER, after=after, limit=PAGE)
            cases, after = page
            await self._each([case for case in cases if _may_be_asked(case, now)], self._warn)

    async def _warn(self, case: Case) -> None:
        vouching = await self._opinions.of(case)
        now = self._clock.now()
        if vouching.verdict is Verdict.UNKNOWN:
            await self._ask_later(case, vouching, now)
            return
        report = None
        if vouching.verdict is Verdict.VOUCHED:
            report = await self._writer.write(case, case.recipients, DELAYED, now)
        if await self._queue.failures.warn(case, report, now) and report is not None:
            self._posted()
            events.report_made(self._name(case.appliance_id), case.id, report.sender, report.kind, report.about)

    async def _drop_old(self, now: float) -> None:
        while dropped := await self._queue.failures.drop_quarantined(now - QUARANTINE, now):
            for message_id, address in dropped:
                events.quarantine_over(message_id, address)

    # One message

    async def _each(self, cases: Sequence[Case], judge: Callable[[Case], Awaitable[None]]) -> None:
        """Judge them, a few at a time. What fails at one message harms no other."""
        turn = asyncio.Semaphore(TOGETHER)

        async def one(case: Case) -> None:
            async with turn:
                try:
                    await judge(case)
                except NotFound:
                    pass  # it has left meanwhile
                except Deferred:
                    raise
                except Exception as error:
                    events.fault("reports", error)
                    doubt = Vouching(Verdict.UNKNOWN, f"it can't be reported: {error}")
                    await self._ask_later(case, doubt, self._clock.now())

        results = await asyncio.gather(*map(one, cases), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _judge(self, case: Case, *, expired: bool) -> None:
        vouching = await self._opinions.of(case) if decide.needs_vouching(case) else decide.known(case)
        decision, now = decide.decide(case, vouching, expired=expired), self._clock.now()
        report = None
        if decision.reported:
            try:
                report = await self._writer.write(case, decision.reported, FAILED, now)
            except NotFound:
                raise
            except Exception as error:  # content that can't be read: as if nobody knew who sent it
                events.fault("reports", error)
                vouching = Vouching(Verdict.UNKNOWN, f"no report can be written: {error}")
                decision = decide.decide(case, vouching, expired=expired)
        if decision.later and vouching is not None:
            await self._ask_later(case, vouching, now)
        if not decision.fates:
            return
        verdict = str(vouching.verdict) if vouching and vouching.verdict is not Verdict.UNKNOWN else None
        evidence = vouching.evidence if vouching else None
        settlement = Settlement(case.id, expired, decision.fates, verdict, evidence, report)
        if await self._queue.failures.settle(settlement, now):
            self._tell(case, settlement)

    async def _ask_later(self, case: Case, vouching: Vouching, now: float) -> None:
        wait = decide.ask_again(case.asked + 1)
        at = now + (decide.ASK_AT_LAST if wait is None else wait)
        await self._queue.failures.ask_again(case.id, vouching.evidence, at)
        events.judged_later(self._name(case.appliance_id), case.id, case.sender, vouching.evidence)

    def _tell(self, case: Case, settlement: Settlement) -> None:
        name, people = self._name(case.appliance_id), {one.id: one for one in case.recipients}
        for fate in settlement.fates:
            address = people[fate.recipient_id].address
            if fate.reason is Reason.QUARANTINED:
                events.quarantined(name, case.id, address, settlement.evidence or "", fate.reply)
            elif fate.state is State.EXPIRED:
                events.expired(name, case.id, address, fate.reply)
            else:
                events.bounced(name, case.id, address, fate.reply)
        report = settlement.report
        if report is not None:
            self._posted()
            events.report_made(name, case.id, report.sender, report.kind, report.about)


def _gathered(case: Case, now: float) -> bool:
    return all(not now - GATHER < (one.tried_at or 0.0) <= now for one in case.recipients)


def _may_be_asked(case: Case, now: float) -> bool:
    return case.ask_at is None or case.ask_at <= now
