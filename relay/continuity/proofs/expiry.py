"""Proof ``expiry``: no queued message of the appliance expires within 24 hours."""

from __future__ import annotations

from relay.queue.queue import Queue

MARGIN = 86400.0


async def prove_expiry(queue: Queue, appliance_id: int, now: float) -> tuple[bool, str]:
    """Whether it holds, and the evidence."""
    if not queue.depth(appliance_id).queued:
        return True, "nothing is queued"
    expiring = await queue.expiring(appliance_id, now + MARGIN)
    if expiring:
        return False, f"{expiring} queued recipients expire within 24 hours; a longer lifetime saves them"
    return True, "nothing that is queued expires within 24 hours"
