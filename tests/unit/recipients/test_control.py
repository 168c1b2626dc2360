"""Whether a refusal counts: only where somebody is accepted."""

from __future__ import annotations

import asyncio

from relay.appliances.facts import Health, HealthFact
from relay.recipients.control import SETTLED, Control
from tests.support.clock import StagedClock


async def test_a_refusal_counts_where_a_witness_is_accepted() -> None:
    """One who exists is asked about first, the next one after him; several refusals at a time ask once."""
    clock = StagedClock.at("2026-11-28 20:00")
    control = Control(clock)
    up = HealthFact(Health.UP, "answers", clock.now() - SETTLED)
    asked: list[str] = []

    async def exists(witness: str) -> bool:
        asked.append(witness)
        await asyncio.sleep(0)
        return witness == "postmaster"

    counted = await asyncio.gather(*(control.counts(up, lambda: ["ann", "postmaster"], exists) for _ in range(3)))
    assert counted == [True, True, True]
    assert asked == ["ann", "postmaster"]
    clock.leap(SETTLED - 1)
    assert await control.counts(up, lambda: ["ann"], exists)
    clock.leap(2)
    assert not await control.counts(up, lambda: ["ann"], exists), "nobody was accepted for too long"


async def test_after_a_return_none_counts() -> None:
    """However many are accepted; nor while the primary isn't up."""
    clock = StagedClock.at("2026-11-28 20:00")
    control = Control(clock, accepted_at=clock.now())

    async def exists(witness: str) -> bool:
        raise AssertionError("nobody need be asked")

    back = HealthFact(Health.UP, "answers", clock.now() - SETTLED + 60)
    assert not await control.counts(back, lambda: ["ann"], exists)
    slow = HealthFact(Health.DELAYED, "slow", clock.now() - 2 * SETTLED)
    assert not await control.counts(slow, lambda: ["ann"], exists)
    clock.leap(61)
    assert await control.counts(back, lambda: ["ann"], exists)
