"""When what was submitted goes into a transaction."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import pytest

from relay.queue import gathering
from relay.queue.gathering import Entry, Gathering
from tests.support.waiting import eventually


@dataclass
class Command:
    """``weight``: bytes."""

    name: int
    weight: int = 0


class Desk:
    """A gathering, and what it began, by the names of the commands."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.batches: list[list[int]] = []
        self.gathering = Gathering(
            self.loop, lambda batch: self.batches.append([entry.command.name for entry in batch])
        )
        self._busy = False

    def add(self, *names: int, weight: int = 0, droppable: bool = False) -> list[asyncio.Future[None]]:
        futures = []
        for name in names:
            future: asyncio.Future[None] = self.loop.create_future()
            self.gathering.add(Entry(Command(name, weight), future, 0.0, droppable))
            futures.append(future)
        return futures

    def work(self) -> None:
        """Keep every turn of the loop busy, until :meth:`rest`."""
        self._busy = True

        def turn() -> None:
            time.sleep(0.0005)
            if self._busy:
                self.loop.call_soon(turn)

        turn()

    def rest(self) -> None:
        self._busy = False


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing begins because it has waited for too long."""
    monkeypatch.setattr(gathering, "LONGEST", 3600.0)


async def turns(number: int) -> None:
    """So many turns of the loop, at least."""
    for _ in range(number):
        await asyncio.sleep(0)


@pytest.mark.usefixtures("patient")
async def test_who_is_alone_is_not_kept_waiting() -> None:
    """A loop that has nothing else to do begins what there is."""
    desk = Desk()
    desk.add(1)
    await eventually(lambda: desk.batches == [[1]])


@pytest.mark.usefixtures("patient")
async def test_while_the_loop_is_busy_more_comes_together() -> None:
    """What is submitted turn after turn is one transaction, in its order, begun when the loop rests."""
    desk = Desk()
    desk.work()
    for name in range(5):
        desk.add(name)
        await turns(3)
    assert desk.batches == []
    desk.rest()
    await eventually(lambda: desk.batches == [[0, 1, 2, 3, 4]])


async def test_a_busy_loop_is_not_waited_for_long() -> None:
    """A flood doesn't keep anybody from a commit."""
    desk = Desk()
    desk.work()
    desk.add(1)
    await eventually(lambda: desk.batches == [[1]])
    desk.rest()


@pytest.mark.usefixtures("patient")
async def test_much_content_is_not_kept_waiting() -> None:
    """To write it takes so long that nothing is gained by more."""
    desk = Desk()
    desk.work()
    desk.add(1, weight=gathering.ENOUGH)
    await eventually(lambda: desk.batches == [[1]])
    desk.rest()


@pytest.mark.usefixtures("patient")
async def test_what_comes_during_a_transaction_is_the_next_one() -> None:
    """One at a time; no transaction is larger than the limits, whatever has gathered."""
    desk = Desk()
    desk.add(0)
    await eventually(lambda: desk.batches == [[0]])
    many = range(1, gathering.MAX_BATCH + 11)
    desk.add(*many)
    await turns(20)
    assert desk.batches == [[0]]
    desk.gathering.free()
    await eventually(lambda: len(desk.batches) == 2)
    await turns(20)
    desk.gathering.free()
    await eventually(lambda: len(desk.batches) == 3)
    assert desk.batches[1] == list(many[: gathering.MAX_BATCH])
    assert desk.batches[2] == list(many[gathering.MAX_BATCH :])


async def test_bytes_of_a_transaction_are_bounded() -> None:
    """What is too large for it comes in the next one; a single command always fits."""
    desk = Desk()
    desk.add(1, 2, 3, weight=gathering.MAX_BATCH_BYTES // 2)
    assert [entry.command.name for entry in desk.gathering.take()] == [1, 2]
    assert [entry.command.name for entry in desk.gathering.take()] == [3]
    desk.add(4, weight=10 * gathering.MAX_BATCH_BYTES)
    assert [entry.command.name for entry in desk.gathering.take()] == [4]
    assert desk.gathering.take() == []


async def test_nothing_is_begun_for_those_who_have_gone() -> None:
    """A client's command that nobody waits for is skipped; an outcome never is."""
    desk = Desk()
    for future in (*desk.add(1, 2, droppable=True)[:1], *desk.add(3)):
        future.cancel()
    await eventually(lambda: desk.batches == [[2, 3]])


async def test_after_none_but_those_the_next_is_begun() -> None:
    """A batch of which nothing is left keeps nobody from the writer."""
    desk = Desk()
    for future in desk.add(1, 2, droppable=True):
        future.cancel()
    await eventually(lambda: len(desk.gathering) == 0)
    desk.add(3)
    await eventually(lambda: desk.batches == [[3]])
