"""How much content drains may hold."""

from __future__ import annotations

import asyncio

from relay.delivery.memory import Memory, Portion


async def taken(portion: Portion, size: int) -> asyncio.Task[None]:
    """The attempt to take so much, after everything that can happen at once has happened."""
    task = asyncio.create_task(portion.take(size))
    for _ in range(5):
        await asyncio.sleep(0)
    return task


async def test_a_drain_has_its_share_and_waits_for_what_it_gives_back() -> None:
    """Past its share a drain waits until one of its messages is done."""
    portion = Memory(limit=100, share=30).portion()
    assert (await taken(portion, 20)).done()
    waiting = await taken(portion, 20)
    assert not waiting.done()
    portion.give_back(20)
    await asyncio.wait_for(waiting, 5)


async def test_all_drains_together_stay_within_the_limit() -> None:
    """When the others have taken everything, a drain that holds something waits for them."""
    memory = Memory(limit=100, share=60)
    first, second = memory.portion(), memory.portion()
    assert (await taken(first, 60)).done()
    assert (await taken(second, 30)).done()
    waiting = await taken(second, 20)
    assert not waiting.done()
    first.give_back(60)
    await asyncio.wait_for(waiting, 5)


async def test_whoever_has_nothing_gets_one_message_whatever_its_size() -> None:
    """No drain stands still because others are greedy or a message is large."""
    memory = Memory(limit=100, share=30)
    assert (await taken(memory.portion(), 1000)).done()
    assert (await taken(memory.portion(), 1000)).done()
