"""The lane of reports: to the senders' own servers, beside the drains and apart from them.

Promises: health, breaker, ramp and ledger hear nothing of it; each report has a retry time of its own; one connection
to a domain at a time, TOGETHER in all, and no more a minute than its allowance; what was taken is removed before
the next is sent, so that a death in between repeats one report at most. The owner of an appliance sends what is about
it; what is about one that was removed goes with the postmaster's.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import ParamSpec

from relay import events
from relay.clock import Clock, iso
from relay.delivery.reports.allowance import Allowance
from relay.delivery.reports.retry import Again, Sent, after_attempt
from relay.delivery.reports.sending import Session, Unreachable
from relay.errors import Deferred
from relay.mail import Reply, storable
from relay.queue.queue import Queue
from relay.queue.reports import Report

P = ParamSpec("P")

LOOK = 2.0
"""Seconds between two looks at what is due."""
TOGETHER = 8
"""Connections at a time."""
A_TIME = 20
"""Reports over one connection."""
REST = 120.0
"""Seconds for which a domain is left alone where nobody took a connection, whatever else waits for it."""
PAUSE = 5.0
"""Seconds after an outcome that couldn't be written down."""
STOP_WITHIN = 10.0
"""Seconds that what is being sent gets when the node stops."""


class Lane:
    """``open``: a session with a server of a domain; ``owns``: whether this node sends what is about an appliance."""

    def __init__(
        self,
        queue: Queue,
        open: Callable[[str], AbstractAsyncContextManager[Session]],
        clock: Clock,
        *,
        owns: Callable[[int], bool],
        settling: Callable[[float], bool],
    ) -> None:
        self._queue = queue
        self._open = open
        self._clock = clock
        self._owns = owns
        self._settling = settling
        self._allowance = Allowance()
        self._rests: dict[str, float] = {}  # until when, POSIX seconds
        self._sendings: dict[str, asyncio.Task[None]] = {}
        self._about: dict[str, set[int]] = {}  # the appliances that what is sent there is about
        self._news = asyncio.Event()
        self._closing = False

    def wake(self) -> None:
        """There is a new report."""
        self._news.set()

    async def run(self) -> None:
        """Until cancelled; :meth:`close` ends what has been begun."""
        while True:
            self._news.clear()
            try:
                await self._look()
            except Exception as error:  # the database is busy: the next look tries again
                events.fault("reports", error)
            try:
                async with asyncio.timeout(LOOK):
                    await self._news.wait()
            except TimeoutError:
                pass

    def busy(self, appliance_id: int) -> bool:
        """Whether a report about an appliance may be on its way."""
        return any(appliance_id in about for about in self._about.values())

    async def close(self) -> None:
        """Begin nothing more, and let what is under way have its end."""
        self._closing = True
        if self._sendings:
            _, late = await asyncio.wait(self._sendings.values(), timeout=STOP_WITHIN)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _look(self) -> None:
        at, now = self._clock.monotonic(), self._clock.now()
        self._allowance.forget(at)
        self._rests = {domain: until for domain, until in self._rests.items() if now < until}
        events.reports_waiting(await self._queue.reports.count())
        for domain, appliances in (await self._queue.reports.due_domains(now)).items():
            if self._closing or len(self._sendings) >= TOGETHER:
                return
            ours = {appliance_id for appliance_id in appliances if self._owns(appliance_id)}
            busy = domain in self._sendings or domain in self._rests
            if ours and not busy and self._allowance.of(domain, at):
                due = await self._queue.reports.due(domain, ours, now, A_TIME)
                task = asyncio.create_task(self._send(domain, due))
                self._sendings[domain], self._about[domain] = task, {report.appliance_id for report in due}
                task.add_done_callback(lambda _, domain=domain: self._came_back(domain))  # type: ignore[misc]

    def _came_back(self, domain: str) -> None:
        del self._sendings[domain], self._about[domain]
        self._news.set()

    async def _send(self, domain: str, due: list[Report]) -> None:
        try:
            await self._send_over_one_session(domain, due)
        except Exception as error:  # nobody expected it: the others' turn comes first
            events.fault("reports", error)
            self._rests[domain] = self._clock.now() + REST

    async def _send_over_one_session(self, domain: str, due: list[Report]) -> None:
        """One after the other. Where there is no session, all of them have been tried in vain."""
        left = deque(due)
        try:
            async with self._open(domain) as session:
                while left and self._may_send(domain, left[0]):
                    report = left.popleft()
                    self._allowance.take(domain, self._clock.monotonic())
                    await self._record(report, await self._hand_over(session, report))
                    if not session.usable:
                        break
        except Unreachable as error:
            self._rests[domain] = self._clock.now() + REST
            for report in left:
                await self._record(report, error.reply)

    async def _hand_over(self, session: Session, report: Report) -> Reply:
        try:
            return await session.send(report.sender, await self._queue.reports.content(report.id))
        except Exception as error:  # of this program, or of the disk: it is one report's trouble
            events.fault("reports", error)
            return Reply(451, "4.3.0", f"this relay failed at the report: {error}")

    def _may_send(self, domain: str, report: Report) -> bool:
        allowed = self._allowance.of(domain, self._clock.monotonic()) > 0
        return allowed and not self._closing and self._owns(report.appliance_id)

    async def _record(self, report: Report, reply: Reply) -> None:
        now = self._clock.now()
        what = after_attempt(report, reply, now, random.random(), settling=self._settling(now))  # noqa: S311
        about, said = (report.id, report.message_id, report.sender), storable(str(reply))
        if isinstance(what, Again):
            await self._write_down(self._queue.reports.defer, report.id, said, what.at)
            events.report_deferred(*about, said, iso(what.at))
            return
        await self._write_down(self._queue.reports.remove, report.id)
        if isinstance(what, Sent):
            events.report_sent(*about, said)
        else:
            events.report_dropped(*about, f"{said} ({what.why})")

    async def _write_down(self, write: Callable[P, Awaitable[None]], *args: P.args, **kwargs: P.kwargs) -> None:
        """While that can't be done, it is tried again: what was taken must not be sent over and over."""
        while True:
            try:
                await write(*args, **kwargs)
                return
            except Deferred as error:
                events.fault("reports", error)
                await asyncio.sleep(PAUSE)
