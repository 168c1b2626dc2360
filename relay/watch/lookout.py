"""Looks for others: whether this node reaches an appliance that its owner can't. Also whether it still is blind itself.

Promises: a look takes LOOK_WITHIN seconds, TOGETHER at a time; one that failed is tried once more, for an owner has
failed several times before it asks; a node that may be cut off itself (footing) says no more than that it can't tell.
What this node is blind for it looks at as often as at what is up, so that a way that is mended is known.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence

from sqlalchemy import Connection

from relay import events
from relay.appliances.model import Primary
from relay.appliances.mx import Endpoints
from relay.cluster import looks
from relay.cluster.looks import BlindSpot, Look, Sight
from relay.cluster.node import Node
from relay.cluster.wake import Wake
from relay.db import Database
from relay.errors import LookupFailed
from relay.watch.probe import Answer, Said, probe

LOOK_WITHIN = 2.5
"""Seconds."""
AGAIN = 0.5
"""Seconds after a look that failed at once."""
TOGETHER = 200
"""Looks at the same time."""
LISTEN = 2.0
"""Seconds between two looks at what is asked, should a wake get lost."""


class Lookout:
    """One for each node. ``firm``: whether it is connected, judged by others than these primaries; ``interval``:
    seconds between two looks at blind spots."""

    def __init__(
        self,
        db: Database,
        node: Node,
        wake: Wake,
        endpoints: Endpoints,
        hostname: str,
        firm: Callable[[Collection[Primary]], Awaitable[bool]],
        interval: Callable[[], float],
    ) -> None:
        self._db = db
        self._node = node
        self._wake = wake
        self._endpoints = endpoints
        self._hostname = hostname
        self._firm = firm
        self._interval = interval
        self._room = asyncio.Semaphore(TOGETHER)
        self._asked: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._sights: list[Sight] = []
        self._seen = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._listen())
                group.create_task(self._answer())
                group.create_task(self._look_again())
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _listen(self) -> None:
        """Begin each look once."""
        while True:
            try:
                asked = await self._db.run(looks.asked, self._node.name) if self._node.others else []
                known, self._asked = self._asked, {look.id for look in asked}
                for look in asked:
                    if look.id not in known:
                        task = asyncio.create_task(self._look_for(look))
                        self._tasks.add(task)
                        task.add_done_callback(self._tasks.discard)
            except Exception as error:  # the owner decides without us
                events.fault("watch", error)
            try:
                async with asyncio.timeout(LISTEN):
                    await self._wake.wait(looks.ASKED)
            except TimeoutError:
                pass

    async def _look_for(self, look: Look) -> None:
        primaries = [Primary.parse(primary) for primary in look.primaries]
        async with self._room:
            if look.id not in self._asked:
                return  # it took too long to come to it
            try:
                (reaches, said), firm = await asyncio.gather(self._look_twice(primaries), self._firm(primaries))
            except Exception as error:
                events.fault("watch", error)
                reaches, said, firm = None, str(error), False
        if reaches is False and not firm:
            reaches = None
        self._sights.append(Sight(look.id, self._node.name, reaches, said))
        self._seen.set()

    async def _look_twice(self, primaries: Sequence[Primary]) -> tuple[bool | None, str]:
        """Whether one of them answers, and what was seen."""
        answer = Answer(Said.FAILURE, f"no answer within {LOOK_WITHIN:g} s")
        try:
            async with asyncio.timeout(LOOK_WITHIN):
                answer = await self._look(primaries)
                if answer.said is Said.FAILURE:
                    await asyncio.sleep(AGAIN)
                    answer = await self._look(primaries)
        except TimeoutError:
            pass  # that it failed is known, or that it takes too long
        return _reaches(answer), answer.text

    async def _answer(self) -> None:
        while True:
            await self._seen.wait()
            self._seen.clear()
            sights, self._sights = self._sights, []
            try:
                await self._db.change(looks.answer, sights)
            except Exception as error:
                events.fault("watch", error)

    async def _look_again(self) -> None:
        """At what we are blind for."""
        while True:
            await asyncio.sleep(self._interval())
            try:
                spots = await self._db.change(looks.blind, self._node.name) if self._node.others else []
                mended = [spot for spot in spots if await self._reaches(spot)]
                if mended:
                    await self._db.change(self._see, mended)
                    for spot in mended:
                        events.reached_again(spot.appliance_id, self._node.name)
            except Exception as error:
                events.fault("watch", error)

    async def _reaches(self, spot: BlindSpot) -> bool:
        try:
            async with asyncio.timeout(LOOK_WITHIN), self._room:
                return _reaches(await self._look([Primary.parse(each) for each in spot.primaries])) is True
        except TimeoutError:
            return False

    def _see(self, connection: Connection, mended: Sequence[BlindSpot]) -> None:
        looks.sees(connection, [spot.appliance_id for spot in mended], self._node.name)

    async def _look(self, primaries: Sequence[Primary]) -> Answer:
        """The best that any of the primaries says; all are asked at the same time."""
        probes = [asyncio.create_task(self._probe(primary)) for primary in primaries]
        found = Answer(Said.NOTHING, "it has no primaries")
        try:
            for each in asyncio.as_completed(probes):
                answer = await each
                if answer.said is not Said.NOTHING:
                    found = answer
                if _reaches(found):
                    break
        finally:
            for task in probes:
                task.cancel()
        return found

    async def reaches(self, primary: Primary) -> bool:
        """Whether one answers now, within LOOK_WITHIN seconds."""
        try:
            async with asyncio.timeout(LOOK_WITHIN):
                return _reaches(await self._probe(primary)) is True
        except TimeoutError:
            return False

    async def _probe(self, primary: Primary) -> Answer:
        try:
            addresses = await self._endpoints.addresses(primary)
        except LookupFailed as error:
            return Answer(Said.NOTHING, f"{primary}: the DNS gives no answer: {error}")
        return await probe(
            primary, addresses, hostname=self._hostname, connect_timeout=LOOK_WITHIN, reply_timeout=LOOK_WITHIN
        )


def _reaches(answer: Answer) -> bool | None:
    """Any answer will do; None where nothing was learnt."""
    return None if answer.said is Said.NOTHING else answer.said is not Said.FAILURE
