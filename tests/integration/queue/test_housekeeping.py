"""What the queue does by itself."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from pathlib import Path

import pytest

from relay import events
from relay.clock import Clock
from relay.queue import housekeeping, sqlite_store
from tests.integration.queue.material import NOW, house, outcomes, second_node
from tests.support.waiting import eventually


@pytest.mark.sqlite_only("room within its file, and its log")
async def test_room_is_given_back_when_the_queue_is_empty_and_idle(tmp_path: Path) -> None:
    """After a large backlog has gone the file shrinks by itself, in slices."""
    async with house(tmp_path) as home:
        for n in range(20):
            await home.accept(content=random.Random(n).randbytes(1_000_000))
        await home.queue.record(outcomes(await home.due()))
        raw = sqlite3.connect(home.db.path)

        def pages() -> int:
            return int(raw.execute("PRAGMA page_count").fetchone()[0])

        assert pages() > 2000
        await eventually(lambda: pages() < 750)
        raw.close()
        await home.accept()
        assert home.problems() == []


@pytest.mark.sqlite_only("room within its file, and its log")
async def test_mail_that_leaves_is_not_written_once_more(tmp_path: Path) -> None:
    """To remove large messages costs the disk next to nothing: their pages are let go of as they are."""
    wal = tmp_path / "relay.db-wal"
    async with house(tmp_path) as home:
        for n in range(4):
            await home.accept(content=random.Random(n).randbytes(1_000_000))
        await home.queue.record(outcomes((await home.due())[:1]))  # what it takes to find the others' places
        raw = sqlite3.connect(home.db.path)
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        raw.close()
        assert wal.stat().st_size == 0
        await home.queue.record(outcomes(await home.due()))
        assert 0 < wal.stat().st_size < 500_000
        assert home.problems() == []


@pytest.mark.sqlite_only("room within its file, and its log")
async def test_a_wal_that_a_reader_made_grow_is_truncated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long reading elsewhere lets the WAL grow, and never stops mail; once it is over the WAL is cut."""
    monkeypatch.setattr(sqlite_store, "WAL_LIMIT", 2_000_000)
    wal = tmp_path / "relay.db-wal"
    async with house(tmp_path) as home:
        reader = sqlite3.connect(home.db.path, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM messages").fetchone()
        content = random.Random(1).randbytes(200_000)
        for _ in range(20):
            await home.accept(content=content)
        await asyncio.sleep(1.5)  # an attempt to truncate fails meanwhile
        await home.accept(content=content)
        assert wal.stat().st_size > 4_000_000
        reader.execute("ROLLBACK")
        reader.close()
        await eventually(lambda: wal.stat().st_size < 2_000_000)
        assert len(await home.due()) == 21


async def test_one_node_forgets_what_is_old_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trace of a month ago stays as long as it is another node's turn."""
    monkeypatch.setattr(housekeeping, "LOOK", 0.02)
    async with house(tmp_path) as home, second_node(home) as other:
        await home.accept()
        await home.queue.record(outcomes(await home.due()))
        now, turn, looks = NOW + housekeeping.TRACE_KEPT + 86400.0, False, 0

        def count() -> None:
            nonlocal looks
            looks += 1

        def traces() -> int:
            with home.db.read() as connection:
                return int(connection.exec_driver_sql("SELECT count(*) FROM trace").scalar_one())

        ended: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
        clock = Clock(lambda: now, time.monotonic)
        keeping = asyncio.create_task(housekeeping.keep(ended, other._call, clock, count, lambda: turn))
        await eventually(lambda: looks > 3)
        assert traces() == 1
        turn = True
        await eventually(lambda: traces() == 0)
        ended.set_result(None)
        await keeping


async def test_the_depth_of_the_queue_is_a_metric(tmp_path: Path) -> None:
    """While a node runs, what waits for each domain can be read from its metrics."""
    async with house(tmp_path) as home:
        await home.accept("a@acme.test", "b@acme.test")
        running = asyncio.create_task(home.queue.run())
        labels = {"domain": "acme.test", "state": "queued"}
        await eventually(lambda: events.registry.get_sample_value("relay_queue_recipients", labels) == 2)
        running.cancel()


async def test_another_process_does_not_starve(tmp_path: Path) -> None:
    """While mail comes in without a pause, somebody else on the same file gets to write, soon and again and again."""
    async with house(tmp_path) as home:
        stop = asyncio.Event()

        async def flood() -> None:
            while not stop.is_set():
                await home.accept()

        def write() -> float:
            began = home.clock.monotonic()
            with home.db.write() as connection:
                connection.exec_driver_sql("UPDATE facts_version SET version = version + 1")
            return home.clock.monotonic() - began

        flooding = [asyncio.create_task(flood()) for _ in range(20)]
        waited = [await asyncio.to_thread(write) for _ in range(20)]
        stop.set()
        await asyncio.gather(*flooding)
        assert sorted(waited)[10] < 1.0
