"""The writer when things go wrong: nobody is told 250 for what isn't stored, and nobody is left waiting."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from relay import events
from relay.clock import Clock
from relay.errors import DatabaseError, Deferred
from relay.queue import writer
from tests.integration.queue.material import House, house, outcomes
from tests.support.waiting import eventually


@asynccontextmanager
async def _one_batch(home: House, commands: int) -> AsyncIterator[None]:
    """What is submitted in this block is carried out in one transaction after it."""
    with home.busy():
        decoy = asyncio.create_task(home.accept("decoy@bolt.example"))
        await eventually(lambda: home.queue._writer._in_hand)  # the thread has taken it, and waits for its turn
        yield
        await eventually(lambda: len(home.queue._writer._gathering) == commands)
    await decoy


def _faults() -> float:
    return events.registry.get_sample_value("relay_faults_total", {"where": "writer"}) or 0.0


async def _answers(tasks: list[asyncio.Task[list[int]]]) -> list[str]:
    """``stored``, or the reply, of each."""
    results = await asyncio.gather(*tasks, return_exceptions=True)
    return ["stored" if isinstance(result, list) else str(result)[:9] for result in results]


async def test_one_poisonous_message_harms_no_other(tmp_path: Path) -> None:
    """A message that can't be stored gets 451; the others of its batch are stored, once each."""
    async with house(tmp_path) as home:
        before = _faults()
        async with _one_batch(home, 8):
            tasks = [
                asyncio.create_task(home.accept(sender="\udcff@x.example" if n == 3 else "ann@x.example"))
                for n in range(8)
            ]
        assert await _answers(tasks) == ["stored"] * 3 + ["451 4.3.0"] + ["stored"] * 4
        assert _faults() - before == 2  # the batch, and the one alone
        assert len(await home.due()) == 7
        assert home.problems() == []
        assert home.queue.depth(home.acme).queued == 7


@pytest.mark.sqlite_only("its own faults; test_server_away has those of a server")
async def test_when_the_disk_is_full_only_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    """A message too large for what is left gets 452 4.3.1; small ones in the same batch are stored."""
    async with house(tmp_path) as home:
        await home.accept()
        await _limit_pages(home, more=30)
        async with _one_batch(home, 5):
            sizes = [100, 400_000, 100, 400_000, 100]
            tasks = [asyncio.create_task(home.accept(content=random.Random(n).randbytes(n))) for n in sizes]
        assert await _answers(tasks) == ["stored", "452 4.3.1", "stored", "452 4.3.1", "stored"]
        await _limit_pages(home, more=1000)
        await home.accept(content=random.Random(1).randbytes(400_000))
        assert len(await home.due()) == 5
        assert home.problems() == []


async def _limit_pages(home: House, more: int) -> None:
    def limit(connection: sqlite3.Connection, _: Any) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count={pages + more}").fetchone()

    await home.queue._call(limit)


@pytest.mark.sqlite_only("its own faults; test_server_away has those of a server")
async def test_what_happened_is_recorded_once_there_is_room_again(tmp_path: Path) -> None:
    """record() outlasts a full disk: a delivered message isn't sent twice because it couldn't be noted down."""
    async with house(tmp_path) as home:
        await home.accept(*(f"{'x' * 3000}{n}@acme.example" for n in range(100)))
        await _limit_pages(home, more=0)
        recording = asyncio.create_task(home.queue.record(outcomes(await home.due())))
        before = _faults()
        await eventually(lambda: _faults() > before or recording.done())
        assert not recording.done()
        await _limit_pages(home, more=1000)
        await recording
        assert home.ledger().delivered == 100


@pytest.mark.sqlite_only("its own faults; test_server_away has those of a server")
async def test_a_locked_database_is_451_and_recovers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another process writes for too long everybody gets 451 after one wait, not one after the other."""
    monkeypatch.setattr("relay.sqlite.BUSY_TIMEOUT", 0.5)
    async with house(tmp_path) as home:
        await home.accept()
        mail = await home.due()
        other = sqlite3.connect(home.db.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        before = _faults()
        async with _one_batch_failing(home):
            tasks = [asyncio.create_task(home.accept()) for _ in range(20)]
        assert await _answers(tasks) == ["451 4.3.0"] * 20
        assert _faults() - before == 2  # the decoy and the batch: one wait for all of it
        recording = asyncio.create_task(home.queue.record(outcomes(mail)))
        await asyncio.sleep(0.1)
        other.execute("ROLLBACK")
        other.close()
        await recording
        await home.accept()
        assert (home.ledger().accepted, home.ledger().delivered) == (2, 1)
        home.queue.check()


@asynccontextmanager
async def _one_batch_failing(home: House) -> AsyncIterator[None]:
    decoy = asyncio.create_task(home.accept("decoy@bolt.example"))
    await eventually(lambda: home.queue._writer._in_hand)
    yield
    with pytest.raises(Deferred, match=r"451 4\.3\.0"):
        await decoy


async def test_mail_is_refused_while_a_commit_hangs(tmp_path: Path) -> None:
    """When the oldest commit has waited for over 5 s, MAIL gets 451; when it is through, mail is taken again."""
    shift = 0.0
    clock = Clock(monotonic=lambda: shift)
    async with house(tmp_path, clock) as home:
        with home.busy():
            waiting = asyncio.create_task(home.accept())
            await eventually(lambda: home.queue._writer._in_hand)
            home.queue.check()
            shift = writer.OLDEST + 1
            with pytest.raises(Deferred, match=r"451 4\.3\.0"):
                home.queue.check()
        await waiting
        await eventually(lambda: home.queue.check() is None)


async def test_no_more_wait_than_the_queue_of_the_writer_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mail beyond the bound is refused at once; outcomes are always taken."""
    monkeypatch.setattr(writer, "MAX_WAITING", 5)
    async with house(tmp_path) as home:
        async with _one_batch(home, 6):
            tasks = [asyncio.create_task(home.accept()) for _ in range(7)]
            await asyncio.sleep(0)
            recording = asyncio.create_task(home.queue.record([]))
        assert await _answers(tasks) == ["stored"] * 5 + ["451 4.3.0"] * 2
        await recording


async def test_an_error_not_understood_is_temporary(tmp_path: Path) -> None:
    """A table that is missing for a moment costs 451s, not the node."""
    async with house(tmp_path) as home:
        with home.db.write() as connection:
            connection.exec_driver_sql("ALTER TABLE content RENAME TO elsewhere")
        with pytest.raises(Deferred, match=r"451 4\.3\.0"):
            await home.accept()
        home.queue.check()
        with home.db.write() as connection:
            connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO content")
        await home.accept()
        assert home.problems() == []


def _damage(path: Path) -> None:
    """Overwrite the root page of a table, as a bad disk would."""
    with sqlite3.connect(path) as raw:
        (page,) = raw.execute("SELECT rootpage FROM sqlite_master WHERE name = 'recipients'").fetchone()
        (size,) = raw.execute("PRAGMA page_size").fetchone()
    raw.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)


@pytest.mark.sqlite_only("its own faults; test_server_away has those of a server")
async def test_a_damaged_database_ends_the_node(tmp_path: Path) -> None:
    """Everybody who waits gets 451, MAIL is refused from then on, and run() raises so that the node exits."""
    async with house(tmp_path):
        pass
    _damage(tmp_path / "relay.db")
    async with house(tmp_path) as home:
        running = asyncio.create_task(home.queue.run())
        tasks = [asyncio.create_task(home.accept()) for _ in range(10)]
        assert await _answers(tasks) == ["451 4.3.0"] * 10
        with pytest.raises(DatabaseError, match="the writer ended: database disk image is malformed"):
            await asyncio.wait_for(running, 5)
        with pytest.raises(Deferred, match=r"451 4\.3\.0"):
            home.queue.check()
        with pytest.raises(Deferred, match=r"451 4\.3\.0"):
            await home.accept()


def _io_error(*_: Any) -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR | 4 << 8  # SQLITE_IOERR_FSYNC
    raise error


def _exit(*_: Any) -> None:
    raise SystemExit("somebody ended this thread")


@pytest.mark.parametrize("end", [pytest.param(_io_error, marks=pytest.mark.sqlite_only("its error")), _exit])
async def test_whatever_ends_the_writer_nobody_is_left_waiting(tmp_path: Path, end: Callable[..., None]) -> None:
    """After an I/O error no later commit is tried; those in the batch and those behind it are all told."""
    async with house(tmp_path) as home:
        async with _one_batch(home, 4):
            tasks = [asyncio.create_task(home.accept()) for _ in range(3)]
            ending = asyncio.create_task(home.queue._call(end))
        running = asyncio.create_task(home.queue.run())
        assert await _answers([*tasks, ending]) == ["451 4.3.0"] * 4
        with pytest.raises(DatabaseError, match="the writer ended"):
            await asyncio.wait_for(running, 5)
        with pytest.raises(Deferred):
            await home.queue.record([])
        assert await home.due() == []  # none of the batch was stored: none of them was told so
