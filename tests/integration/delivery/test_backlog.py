"""What is due is handed out once, from both ends, however pages and outcomes cross."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

from relay.clock import Clock
from relay.delivery.backlog import NEWEST_PAGE, PAGE, SHARE, SLOW, STALE, STRETCH, Backlog
from relay.mail import Reply
from relay.queue import operators
from relay.queue.filter import Filter
from relay.queue.model import Outcome, Outgoing
from relay.queue.queue import Queue
from relay.queue.states import State
from tests.integration.delivery.house import House, house
from tests.support.waiting import eventually


def anything(parcel: Outgoing) -> bool:
    return True


def backlog(home: House, queue: Queue | None = None, breakdowns: dict[int, int] | None = None) -> Backlog:
    return Backlog(
        queue or home.queue, home.appliance.id, home.clock, lambda each: [each], breakdowns or {}, lambda: None
    )


async def take(
    source: Backlog,
    *,
    newest: bool = False,
    fits: Callable[[Outgoing], bool] = anything,
    preferred: Callable[[Outgoing], bool] | None = None,
) -> Outgoing:
    """The next parcel, waiting for it to be read."""

    async def claim() -> Outgoing | None:
        return source.claim(fits, newest=newest, preferred=preferred)

    found = await eventually(claim, every=0.001)
    assert found
    return found


async def deliver(home: House, source: Backlog, parcel: Outgoing) -> None:
    """Its outcome is recorded."""
    reply = Reply(250, "2.0.0", "Ok")
    await home.queue.record([Outcome(parcel.id, parcel.recipients[0].id, State.DELIVERED, reply, home.clock.now())])
    source.settle(parcel)


class LatePages(Queue):
    """A queue whose pages arrive when the test says so."""

    async def due(
        self, appliance_id: int, now: float, *, newest: bool = False, limit: int = 100, after: int | None = None
    ) -> list[Outgoing]:
        page = await super().due(appliance_id, now, newest=newest, limit=limit, after=after)
        self.read += 1
        await self.arrives.wait()
        return page

    read = 0
    arrives: asyncio.Event


async def test_both_ends_hand_out_everything_once(tmp_path: Path) -> None:
    """Over many pages, with every fourth taken from the newest end, each message comes once."""
    async with house(tmp_path) as home:
        count = 3 * PAGE
        await asyncio.gather(*(home.accept(f"r{number}") for number in range(count)))
        source = backlog(home)
        order = []
        for number in range(count):
            parcel = await take(source, newest=number % 4 == 3)
            order.append(parcel.id)
            if number % 2:
                await deliver(home, source, parcel)
        assert sorted(order) == list(range(1, count + 1))
        assert order[:3] == [1, 2, 3]
        assert max(order[:100]) > count // 2
        assert await eventually(lambda: source.claim(anything) is None)


async def test_a_page_that_was_read_before_an_outcome_brings_nothing_back(tmp_path: Path) -> None:
    """A message delivered while a page with it is under way isn't handed out from that page."""
    async with house(tmp_path) as home:
        late = LatePages(home.db, home.clock, "test", on_accept=lambda ids: None)
        late.arrives = asyncio.Event()
        late.arrives.set()
        await late.start()
        await home.accept("one")
        source = backlog(home, late)
        parcel = await take(source)
        await eventually(lambda: source.claim(anything) is None and late.read == 2)  # the end
        late.arrives.clear()
        source.rewind()
        source.read_ahead()
        await eventually(lambda: late.read == 3)  # from the beginning
        await deliver(home, source, parcel)
        late.arrives.set()
        await eventually(lambda: source.claim(anything) is not None or source.exhausted)
        assert source.exhausted
        await source.close()
        await late.close()


async def test_what_was_put_back_comes_again_in_its_turn(tmp_path: Path) -> None:
    """A message that the primary hadn't turned to keeps its place."""
    async with house(tmp_path) as home:
        for number in range(5):
            await home.accept(f"r{number}")
        source = backlog(home)
        first, second = await take(source), await take(source)
        source.put_back(second)
        source.put_back(first)
        assert [(await take(source)).id for _ in range(5)] == [1, 2, 3, 4, 5]


async def test_messages_that_we_broke_down_at_come_last_and_one_at_a_time(tmp_path: Path) -> None:
    """They are out of the way of the others, those that broke us down least come first, never two at once."""
    async with house(tmp_path) as home:
        for number in range(5):
            await home.accept(f"r{number}")
        source = backlog(home, breakdowns={1: 2, 3: 1})
        assert [(await take(source)).id for _ in range(3)] == [2, 4, 5]
        suspect = await take(source)
        assert suspect.id == 3
        assert source.claim(anything) is None
        await deliver(home, source, suspect)
        assert (await take(source)).id == 1


def of_ann(parcel: Outgoing) -> bool:
    return parcel.recipients[0].address.startswith("ann")


async def test_what_is_preferred_comes_before_others_but_not_before_all(tmp_path: Path) -> None:
    """Whoever prefers every fifth message gets several in a row, and yet no message is overtaken by more than a few."""
    async with house(tmp_path) as home:
        count = 2 * PAGE
        await asyncio.gather(*(home.accept("ann" if number % 5 == 4 else f"r{number}") for number in range(count)))
        source = backlog(home)
        order = [await take(source, preferred=of_ann) for _ in range(count)]
        assert sorted(parcel.id for parcel in order) == list(range(1, count + 1))
        assert all(map(of_ann, order[: STRETCH // 5]))
        overtaken = [sum(later.id < one.id for later in order[place:]) for place, one in enumerate(order)]
        assert 0 < max(overtaken) < STRETCH
        changes = sum(of_ann(one) is not of_ann(other) for one, other in pairwise(order))
        assert changes <= 2 * (count // STRETCH + 1)


async def test_what_is_preferred_of_the_newest(tmp_path: Path) -> None:
    """Of the page of the newest too, those that are preferred come first."""
    async with house(tmp_path) as home:
        count = 2 * PAGE
        await asyncio.gather(*(home.accept("ann" if number % 5 == 4 else f"r{number}") for number in range(count)))
        source = backlog(home)
        await eventually(lambda: (parcel := source.claim(anything, newest=True)) and parcel.id > count - NEWEST_PAGE)
        order = [await take(source, newest=True, preferred=of_ann) for _ in range(NEWEST_PAGE // 2)]
        assert all(map(of_ann, order[: NEWEST_PAGE // 5 - 1]))
        assert min(parcel.id for parcel in order) > count - NEWEST_PAGE


async def test_what_fits_nobody_here_does_not_stand_in_the_way(tmp_path: Path) -> None:
    """Mail for hosts that rest is read past, for mail that can go."""
    async with house(tmp_path) as home:
        await asyncio.gather(*(home.accept("stuck") for _ in range(2 * PAGE)))
        wanted = await home.accept("free")
        parcel = await take(backlog(home), fits=lambda each: each.recipients[0].address.startswith("free"))
        assert parcel.id == wanted


async def test_what_an_operator_held_is_not_handed_out_for_long(tmp_path: Path) -> None:
    """A page is read again when it is some seconds old and something has changed."""
    async with house(tmp_path) as home:
        for number in range(5):
            await home.accept(f"r{number}")
        ahead = 0.0
        clock = Clock(monotonic=lambda: time.monotonic() + ahead)
        source = Backlog(home.queue, home.appliance.id, clock, lambda each: [each], {}, lambda: None)
        first = await take(source)
        await asyncio.to_thread(operators.hold, home.db, Filter(), home.clock.now(), "operator")
        ahead = STALE + 1
        source.rewind()
        source.settle(first)
        await eventually(lambda: source.claim(anything) is not None or source.exhausted)
        assert source.exhausted


async def test_a_recipient_released_while_another_of_the_message_is_in_flight_comes_too(tmp_path: Path) -> None:
    """It isn't taken for a part of what is being sent, and left behind when that has its outcome."""
    async with house(tmp_path) as home:
        await home.accept("one", "two")
        two = Filter(recipient="two@acme.example")
        await asyncio.to_thread(operators.hold, home.db, two, home.clock.now(), "operator")
        source = backlog(home)
        first = await take(source)
        assert [each.address for each in first.recipients] == ["one@acme.example"]
        await asyncio.to_thread(operators.release, home.db, two, home.clock.now(), "operator")
        source.rewind()
        second = await take(source)
        assert [each.address for each in second.recipients] == ["two@acme.example"]
        await deliver(home, source, first)
        await deliver(home, source, second)
        source.rewind()
        await eventually(lambda: source.claim(anything) is not None or source.exhausted)
        assert source.exhausted


async def test_what_was_read_just_before_an_operator_held_it_is_not_handed_out_for_long(tmp_path: Path) -> None:
    """The change is heeded when the page has become some seconds old, though nothing else happens by then."""
    async with house(tmp_path) as home:
        for number in range(5):
            await home.accept(f"r{number}")
        ahead = 0.0
        clock = Clock(monotonic=lambda: time.monotonic() + ahead)
        source = Backlog(home.queue, home.appliance.id, clock, lambda each: [each], {}, lambda: None)
        first = await take(source)
        await asyncio.to_thread(operators.hold, home.db, Filter(), home.clock.now(), "operator")
        source.rewind()
        await eventually(lambda: not source._readings)
        ahead = STALE + 1
        source.settle(first)
        await eventually(lambda: source.claim(anything) is not None or source.exhausted)
        assert source.exhausted


class SlowBeginning(Queue):
    """A queue whose beginning takes a while to read, as beside somebody's open transaction, by a clock of its own."""

    beginnings = 0
    time = 0.0

    async def due(
        self, appliance_id: int, now: float, *, newest: bool = False, limit: int = 100, after: int | None = None
    ) -> list[Outgoing]:
        if after is None and not newest:
            self.beginnings += 1
            self.time += 2 * SLOW
        return await super().due(appliance_id, now, newest=newest, limit=limit, after=after)


@asynccontextmanager
async def slow_beginning(home: House) -> AsyncIterator[tuple[SlowBeginning, Backlog]]:
    queue = SlowBeginning(home.db, home.clock, "slow", on_accept=lambda ids: None)
    await queue.start()
    clock = Clock(monotonic=lambda: queue.time)
    source = Backlog(queue, home.appliance.id, clock, lambda each: [each], {}, lambda: None)
    yield queue, source
    await source.close()
    await queue.close()


async def test_a_slow_beginning_is_not_read_for_each_message_that_comes(tmp_path: Path) -> None:
    """It is put off for a while, and what has come back there is handed out then, before all that came later."""
    async with house(tmp_path) as home:
        numbers = await asyncio.gather(*(home.accept(f"r{number}") for number in range(3 * PAGE)))
        first = Filter(ids=(min(numbers),))
        await asyncio.to_thread(operators.hold, home.db, first, home.clock.now(), "operator")
        async with slow_beginning(home) as (queue, source):
            await take(source)
            await asyncio.to_thread(operators.release, home.db, first, home.clock.now(), "operator")
            for _ in range(PAGE):
                await eventually(lambda: not source._readings)
                source.rewind()
                assert (await take(source)).id not in first.ids
            assert queue.beginnings == 1
            queue.time += 2 * SLOW / SHARE
            taken = [(await take(source)).id for _ in range(PAGE)]
            assert queue.beginnings == 2
            assert min(numbers) in taken


async def test_what_came_back_at_a_slow_beginning_is_not_forgotten(tmp_path: Path) -> None:
    """Nothing is exhausted before the beginning was looked at again."""
    async with house(tmp_path) as home:
        one, two = await home.accept("one"), await home.accept("two")
        first = Filter(ids=(one,))
        await asyncio.to_thread(operators.hold, home.db, first, home.clock.now(), "operator")
        async with slow_beginning(home) as (_, source):
            parcel = await take(source)
            assert parcel.id == two
            await asyncio.to_thread(operators.release, home.db, first, home.clock.now(), "operator")
            source.rewind()
            await deliver(home, source, parcel)
            assert (await take(source)).id == one
