"""Looks for others: whether this node reaches an appliance that its owner can't. Also whether it still is blind itself.

Promises: a look takes LOOK_WITHIN seconds at most, however many there are at the same time; one that failed is tried
once more, for an owner has failed several times before it asks; a node that takes itself for cut off says only what it
reaches. Every half minute what this node is blind for is looked at, so that a way that is mended is known.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

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
RECHECK = 30.0
"""Seconds between two looks at blind spots."""


class Lookout:
    """One for each node. ``isolated``: whether it takes itself for cut off."""

    def __init__(
        self,
        db: Database,
        node: Node,
        wake: Wake,
        endpoints: Endpoints,
        hostname: str,
        isolated: Callable[[], bool],
        *,
        recheck: float = RECHECK,
    ) -> None:
        self._db = db
        self._node = node
        self._wake = wake
        self._endpoints = endpoints
        self._hostname = hostname
        self._isolated = isolated
        self._recheck = recheck
        self._room = asyncio.Semaphore(TOGETHER)
        self._answered: set[int] = set()
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
                for look in asked:
                    if look.id not in self._answered:
                        task = asyncio.create_task(self._look_for(look))
                        self._tasks.add(task)
                        task.add_done_callback(self._tasks.discard)
                self._answered = {look.id for look in asked}
            except Exception as error:  # the owner decides without us
                events.fault("watch", error)
            try:
                async with asyncio.timeout(LISTEN):
                    await self._wake.wait(looks.ASKED)
            except TimeoutError:
                pass

    async def _look_for(self, look: Look) -> None:
        try:
            async with asyncio.timeout(LOOK_WITHIN), self._room:
                answer = await self._look(look.primaries)
                if answer.said is Said.FAILURE:
                    await asyncio.sleep(AGAIN)
                    answer = await self._look(look.primaries)
        except TimeoutError:
            answer = Answer(Said.FAILURE, f"no answer within {LOOK_WITHIN:g} s")
        except Exception as error:
            events.fault("watch", error)
            return
        reaches = answer.said not in (Said.FAILURE, Said.NOTHING)
        if answer.said is Said.NOTHING or (not reaches and self._isolated()):
            return  # that says nothing of the appliance
        self._sights.append(Sight(look.id, self._node.name, reaches, answer.text))
        self._seen.set()

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
            await asyncio.sleep(self._recheck)
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
                return (await self._look(spot.primaries)).said not in (Said.FAILURE, Said.NOTHING)
        except TimeoutError:
            return False

    def _see(self, connection: Connection, mended: Sequence[BlindSpot]) -> None:
        looks.sees(connection, [spot.appliance_id for spot in mended], self._node.name)

    async def _look(self, primaries: Sequence[str]) -> Answer:
        """The best that any of the primaries says; all are asked at the same time."""
        probes = [asyncio.create_task(self._probe(Primary.parse(primary))) for primary in primaries]
        found = Answer(Said.NOTHING, "it has no primaries")
        try:
            for each in asyncio.as_completed(probes):
                answer = await each
                if answer.said is not Said.NOTHING:
                    found = answer
                if found.said not in (Said.FAILURE, Said.NOTHING):
                    break
        finally:
            for task in probes:
                task.cancel()
        return found

    async def _probe(self, primary: Primary) -> Answer:
        try:
            addresses = await self._endpoints.addresses(primary)
        except LookupFailed as error:
            return Answer(Said.NOTHING, f"{primary}: the DNS gives no answer: {error}")
        return await probe(
            primary, addresses, hostname=self._hostname, connect_timeout=LOOK_WITHIN, reply_timeout=LOOK_WITHIN
        )
