"""The copy of a database that others write to: of one moment, with all that was there then."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from relay.backup import sqlite
from relay.backup.check import faults
from relay.backup.counts import counts
from relay.db import Database, upgrade
from relay.queue.ledger import ledger
from relay.queue.queue import Queue
from relay.queue.trace import trace
from tests.integration.queue.material import RECEIVED, House, house, outcomes

pytestmark = pytest.mark.sqlite_only("how a file is saved and restored; test_postgres has a server's")


async def copied(home: House, folder: Path, step: Callable[[], None] = lambda: None) -> Database:
    """A copy of the house's database, made in a thread while its loop goes on."""
    target = folder / "copy.db"
    assert home.db.path is not None
    await asyncio.to_thread(sqlite.copy, home.db.path, target, step, home.clock.now)
    return Database(f"sqlite:///{target}")


async def contents(home: House, db: Database, numbers: Sequence[int]) -> list[bytes]:
    """What messages of the copy would be sent as."""
    queue = Queue(db, home.clock, "reader", on_accept=lambda _: None)
    await queue.start()
    try:
        return [await queue.content(number) for number in numbers]
    finally:
        await queue.close()


async def test_a_copy_under_way_while_mail_comes_and_goes_is_of_one_moment(tmp_path: Path) -> None:
    """Ledger, rows and content agree, and what was accepted before and not handed over is in it, byte for byte."""
    noise = random.Random(7)
    stored: dict[int, bytes] = {}
    async with house(tmp_path) as home:

        async def accept() -> None:
            data = noise.randbytes(noise.choice((500, 5_000, 300_000)))
            (number,) = await home.accept("a@bolt.example" if noise.random() < 0.5 else "b@acme.example", content=data)
            stored[number] = data

        async def go_on() -> None:
            while True:
                await asyncio.gather(*(accept() for _ in range(8)))
                await home.queue.record(outcomes((await home.due(home.bolt))[:4]))

        for _ in range(40):
            await asyncio.gather(*(accept() for _ in range(8)))
        before = {message.id for message in await home.due(home.acme)}
        traffic = asyncio.create_task(go_on())
        try:
            copy = await copied(home, tmp_path)
        finally:
            traffic.cancel()
        assert len(stored) > 350, "nothing was written meanwhile"
        assert faults(copy, lambda: None) == []
        with copy.read() as connection:
            numbers = set(connection.exec_driver_sql("SELECT id FROM messages").scalars())
            assert all(row.balanced for row in ledger(connection))
            assert counts(connection).messages == len(numbers)
        assert before <= numbers
        some = noise.sample(sorted(numbers), 50)
        assert await contents(home, copy, some) == [RECEIVED + stored[number] for number in some]
        copy.close()


async def test_what_comes_late_among_what_was_copied_ahead_is_in_it(tmp_path: Path) -> None:
    """A large message whose pieces came while higher numbers were copied, and the trace of one that left meanwhile."""
    async with house(tmp_path) as home:
        loop = asyncio.get_running_loop()
        (leaving,) = await home.accept("first@acme.example")
        upload = home.queue.upload()
        large = random.Random(1).randbytes(900_000)
        await upload.write(large[:400_000])
        for _ in range(4 * sqlite.AHEAD[0].rows):
            await home.accept("bulk@bolt.example")
        # A trace beyond the one that is still to come.
        await home.queue.record(outcomes((await home.due(home.bolt))[:1]))
        done: list[int] = []

        async def meanwhile() -> None:
            await upload.write(large[400_000:])
            (number,) = await home.accept("large@acme.example", content=upload, size=len(large))
            await home.queue.record(outcomes([one for one in await home.due() if one.id == leaving]))
            done.append(number)

        slices = 0

        def step() -> None:
            nonlocal slices
            slices += 1
            if slices == 6:  # content is through, and so is the first slice of traces
                asyncio.run_coroutine_threadsafe(meanwhile(), loop).result(20)

        copy = await copied(home, tmp_path, step)
        assert faults(copy, lambda: None) == []
        assert await contents(home, copy, done) == [RECEIVED + large]
        assert [one.id for one in trace(copy, id=leaving)] == [leaving]
        copy.close()


async def test_an_upload_under_way_leaves_nothing_in_a_copy(tmp_path: Path) -> None:
    """It is no mail, and its sender knows that."""
    async with house(tmp_path) as home:
        await home.accept()
        upload = home.queue.upload()
        await upload.write(b"x" * 600_000)
        copy = await copied(home, tmp_path)
        with copy.read() as connection:
            rows = connection.exec_driver_sql("SELECT (SELECT count(*) FROM incoming), (SELECT count(*) FROM content)")
            assert rows.one() == (0, 1)
        copy.close()
        await upload.abort()


def _schema(path: Path) -> list[tuple[Any, ...]]:
    with sqlite3.connect(path) as raw:
        found = raw.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name").fetchall()
        pragmas = [raw.execute(f"PRAGMA {name}").fetchone() for name in ("page_size", "auto_vacuum", "application_id")]
    raw.close()
    return found + pragmas


async def test_a_copy_has_every_table_index_and_trigger(tmp_path: Path) -> None:
    """And every row of tables that nobody thought of, with the numbers that are never given twice."""
    async with house(tmp_path) as home:
        assert home.db.path is not None
        with home.db.write() as connection:
            connection.exec_driver_sql("CREATE TABLE extra (name VARCHAR NOT NULL, PRIMARY KEY (name))")
            connection.exec_driver_sql("INSERT INTO extra VALUES ('one')")
            connection.exec_driver_sql("INSERT INTO sqlite_sequence VALUES ('reports', 4711)")
        copy = await copied(home, tmp_path)
        with copy.read() as connection:
            assert connection.exec_driver_sql("SELECT name FROM extra").all() == [("one",)]
            assert connection.exec_driver_sql("SELECT * FROM sqlite_sequence").all() == [("reports", 4711)]
        copy.close()
        assert _schema(tmp_path / "copy.db") == _schema(home.db.path)


def test_tables_that_change_while_they_are_copied_end_it(tmp_path: Path) -> None:
    """An upgrade in the middle makes no half of each."""
    url = f"sqlite:///{tmp_path / 'relay.db'}"
    upgrade(url)
    with sqlite3.connect(tmp_path / "relay.db") as raw:
        raw.execute("INSERT INTO content VALUES (65536, 0, x'00')")
    raw.close()

    def step() -> None:
        other = sqlite3.connect(tmp_path / "relay.db")
        other.execute("ALTER TABLE tickets ADD COLUMN news VARCHAR")
        other.close()

    with pytest.raises(Exception, match="upgraded meanwhile; begin anew"):
        sqlite.copy(tmp_path / "relay.db", tmp_path / "copy.db", step, lambda: 0.0)
