"""While this node may be cut off itself: which outages hang on that, and what the reference hosts say meanwhile.

isolation says whether to doubt; here is who is asked, and what is said of it to ``relayctl status`` and the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from relay import events
from relay.appliances.model import Primary
from relay.appliances.mx import Endpoints
from relay.cluster.node import Node
from relay.settings import Watch
from relay.values import parse_address
from relay.watch.isolation import Census, any_answers
from relay.watch.lookout import LOOK_WITHIN


class Doubt:
    """One for each node. ``judge``: to be done anew for each appliance that hangs on this, once a host was asked."""

    def __init__(self, settings: Watch, endpoints: Endpoints, node: Node, judge: Callable[[int], None]) -> None:
        self.census = Census()
        self._endpoints = endpoints
        self._node = node
        self._judge = judge
        self._hanging: set[int] = set()
        self._reference: tuple[float, bool] = (float("-inf"), False)  # when it was asked, and whether one answered
        self._arisen = asyncio.Event()
        self.reconfigure(settings)

    def reconfigure(self, settings: Watch) -> None:
        """Take over changed settings."""
        self._settings = settings
        self._references = [Primary(*parse_address(reference)) for reference in settings.references]

    def arise(self) -> None:
        """Something begins to fail: ask whether the rest of the world is there."""
        self._arisen.set()

    def hangs(self, appliance_id: int) -> bool:
        """Whether it would be down, if it weren't for this."""
        return appliance_id in self._hanging

    def cut_off(self, primaries: Iterable[Primary]) -> bool:
        """Whether these may fail because of us."""
        since = self.census.failing_since(primaries)
        reference = None
        if self._references:
            asked, answered = self._reference
            reference = answered and asked >= since
        return self.census.cut_off(since, reference)

    def about(self, appliance_id: int, doubtful: bool) -> None:
        """Whether it hangs on this from now on; the first and the last that does is said."""
        before = bool(self._hanging)
        if doubtful:
            self._hanging.add(appliance_id)
            self.arise()
        else:
            self._hanging.discard(appliance_id)
        if self._hanging and not before:
            reason = f"{self.census.describe()} fail together" + (
                ", and no reference host answers" if self._references else ""
            )
            events.isolated(reason)
            self._node.isolated(reason)
        elif before and not self._hanging:
            events.isolation_ended()
            self._node.isolated("")

    async def reference_answers(self) -> bool | None:
        """Whether one of the reference hosts answers now; None where there are none."""
        if not self._references:
            return None
        timeout = min(self._settings.connect_timeout, LOOK_WITHIN)
        return await any_answers(self._references, self._endpoints, timeout)

    async def run(self) -> None:
        """While something fails: ask whether the rest of the world is there, and judge anew what hung on it."""
        while True:
            await self._arisen.wait()
            self._arisen.clear()
            if not self._references:
                continue
            try:
                asked = asyncio.get_running_loop().time()
                self._reference = (asked, await self.reference_answers() is True)
                for number in list(self._hanging):
                    self._judge(number)
            except Exception as error:
                events.fault("watch", error)
            await asyncio.sleep(self._settings.down_interval)
