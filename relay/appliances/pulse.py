"""What the owner's probes saw last, in memory: the starting gun of a drain, and the way back.

watch says what it saw; delivery waits for it, and says when a primary stopped answering it, so that the next probe is
made at once instead of in half a minute. Also the node's proof that its probes keep their schedule; of what other nodes
own, cluster hears theirs from the database.
"""

from __future__ import annotations

import asyncio
from enum import StrEnum

HEARTBEAT_LIMIT = 10.0
"""Seconds after which a heartbeat of the probes proves nothing any more."""


class Reach(StrEnum):
    """Whether mail may be handed to an appliance."""

    NO = "no"
    CANARY = "canary"  # the first answer after silence: one message to try
    YES = "yes"


class Pulse:
    """One for each node, shared by watch, delivery and the edge."""

    def __init__(self) -> None:
        self._reach: dict[int, Reach] = {}
        self._heartbeat: dict[int, float] = {}
        self._elsewhere: tuple[frozenset[int], float] = frozenset(), float("-inf")
        self._suspects: set[int] = set()
        self._changed = asyncio.Event()
        self._suspected = asyncio.Event()

    def saw(self, appliance_id: int, reach: Reach) -> None:
        """watch: the present reach of an appliance that this node owns."""
        if self._reach.get(appliance_id) is not reach:
            self._reach[appliance_id] = reach
            self._changed.set()
            self._changed = asyncio.Event()

    def beat(self, appliance_id: int, at: float) -> None:
        """watch: the probes of this appliance keep their schedule at ``at`` (monotonic seconds)."""
        self._heartbeat[appliance_id] = at

    def forget(self, appliance_id: int) -> None:
        """watch: no longer ours."""
        self._heartbeat.pop(appliance_id, None)
        self.saw(appliance_id, Reach.NO)
        self._reach.pop(appliance_id, None)

    def reach(self, appliance_id: int) -> Reach:
        return self._reach.get(appliance_id, Reach.NO)

    def fresh(self, appliance_id: int, at: float) -> bool:
        """Whether the probes of this node were on schedule within the last 10 s."""
        return at - self._heartbeat.get(appliance_id, float("-inf")) < HEARTBEAT_LIMIT

    def hear(self, vouched: frozenset[int], at: float) -> None:
        """cluster: these belong to other nodes, whose probes of them kept their schedule, as the database said at
        ``at``."""
        self._elsewhere = vouched, at

    def proven(self, appliance_id: int, at: float) -> bool:
        """Whether the probes of its owner, whoever that is, were on schedule lately: what counts as up is up."""
        vouched, heard_at = self._elsewhere
        return self.fresh(appliance_id, at) or (appliance_id in vouched and at - heard_at < HEARTBEAT_LIMIT)

    async def changed(self) -> None:
        """Wait for the next change of any reach."""
        await self._changed.wait()

    def suspect(self, appliance_id: int) -> None:
        """delivery: the primary stopped answering; probe it now."""
        self._suspects.add(appliance_id)
        self._suspected.set()

    async def suspects(self) -> set[int]:
        """watch: wait for suspicions and take them."""
        await self._suspected.wait()
        self._suspected.clear()
        taken, self._suspects = self._suspects, set()
        return taken
