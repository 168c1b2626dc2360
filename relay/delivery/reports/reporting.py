"""Reports to senders, as the rest of delivery sees them: who judges, who writes and who sends, for one node."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager

from relay.appliances.directory import Directory
from relay.appliances.mx import Endpoints
from relay.appliances.pulse import Pulse, Reach
from relay.cluster.lease import POSTMASTER
from relay.delivery.means import Means
from relay.delivery.reports.ahead import Ahead
from relay.delivery.reports.judge import Judge
from relay.delivery.reports.lane import Lane
from relay.delivery.reports.opinions import Opinions
from relay.delivery.reports.sending import Session, session
from relay.delivery.reports.vouch import Voucher
from relay.delivery.reports.writing import Writer
from relay.delivery.route import Stranger
from relay.settings import Settings


class Reporting:
    """``settling``: whether what can't be undone has to wait."""

    def __init__(
        self,
        means: Means,
        directory: Directory,
        endpoints: Endpoints,
        pulse: Pulse,
        *,
        settling: Callable[[float], bool],
    ) -> None:
        self._means = means
        self._directory = directory
        self._endpoints = endpoints
        self._pulse = pulse
        settings, queue, clock = means.settings, means.queue, means.clock
        self._voucher = Voucher(settings.dns, settings.node.hostname, clock=clock)
        opinions = Opinions(queue, self._voucher)
        self._lane = Lane(queue, self._session, clock, owns=self._sends_for, settling=settling)
        self._judge = Judge(
            queue,
            opinions,
            Writer(queue, settings.node),
            clock,
            responsible=self._ours,
            name=self._name,
            sending=means.in_flight.holds,
            settling=settling,
            posted=self._lane.wake,
            keeps_house=lambda: means.owns(POSTMASTER),
        )
        self._ahead = Ahead(queue, opinions, self._out_of_reach)
        self._judging: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Until cancelled; :meth:`close` ends what has been begun."""
        async with asyncio.TaskGroup() as group:
            self._judging = [group.create_task(part.run()) for part in (self._judge, self._ahead)]
            group.create_task(self._lane.run())

    def busy(self, appliance_id: int) -> bool:
        """Whether a report about an appliance may be on its way."""
        return self._lane.busy(appliance_id)

    async def close(self) -> None:
        """Begin nothing more; what is being sent gets its end, within ten seconds."""
        for judging in self._judging:
            judging.cancel()
        await self._lane.close()
        self._voucher.close()

    def _ours(self) -> Iterator[int]:
        """The appliances that this node works for."""
        return filter(self._means.owns, (POSTMASTER, *self._directory.snapshot.appliances))

    def _sends_for(self, appliance_id: int) -> bool:
        """An appliance that was removed has no owner; what is still to be told of it goes with the postmaster's."""
        known = self._directory.appliance(appliance_id) is not None
        return self._means.owns(appliance_id if known else POSTMASTER)

    def _out_of_reach(self) -> Iterator[int]:
        """Appliances whose mail waits because they can't be reached."""
        for appliance_id in self._ours():
            out = appliance_id != POSTMASTER and self._pulse.reach(appliance_id) is Reach.NO
            if out and self._means.queue.depth(appliance_id).queued:
                yield appliance_id

    def _name(self, appliance_id: int) -> str:
        appliance = self._directory.appliance(appliance_id)
        return appliance.name if appliance else "postmaster" if appliance_id == POSTMASTER else str(appliance_id)

    def _session(self, domain: str) -> AbstractAsyncContextManager[Session]:
        stranger = Stranger(domain, self._directory, self._endpoints, self._pulse)
        return session(stranger, _for_strangers(self._means.settings))


def _for_strangers(settings: Settings) -> Settings:
    """TLS to strangers is as they offer it, unless there is none at all."""
    tls = "none" if settings.delivery.tls == "none" else "opportunistic"
    return settings.model_copy(update={"delivery": settings.delivery.model_copy(update={"tls": tls})})
