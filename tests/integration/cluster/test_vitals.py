"""What a node feels of itself."""

from __future__ import annotations

import asyncio
import time

from relay import events
from relay.clock import Clock
from relay.cluster.vitals import Vitals
from tests.support.waiting import eventually


def metric(name: str) -> float:
    return events.registry.get_sample_value(name) or 0.0


async def test_a_held_loop_is_counted() -> None:
    """Somebody who blocks the loop for longer than a quarter of a second is noticed."""
    before = metric("relay_loop_delays_total")
    task = asyncio.create_task(Vitals(Clock()).run())
    await asyncio.sleep(0.2)
    time.sleep(0.5)
    await eventually(lambda: metric("relay_loop_delays_total") > before)
    task.cancel()


async def test_a_clock_that_is_set_is_noticed() -> None:
    """A wall clock that leaves the node's own time by over a minute is an event with its measure."""
    ahead = [0.0]
    clock = Clock(wall=lambda: time.monotonic() + ahead[0])
    task = asyncio.create_task(Vitals(clock).run())
    await asyncio.sleep(0.2)
    ahead[0] = 3600.0
    await eventually(lambda: metric("relay_clock_drift_seconds") > 3599.0)
    ahead[0] = 0.0
    await eventually(lambda: abs(metric("relay_clock_drift_seconds")) < 1.0)
    task.cancel()
