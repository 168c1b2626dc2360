"""What was accepted is there after the worst."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from relay.clock import Clock
from relay.db import Database
from relay.errors import DatabaseError
from relay.queue.queue import Queue
from relay.queue.states import State
from relay.queue.trace import trace
from tests.integration.queue.busy_node import content
from tests.integration.queue.material import RECEIVED, house
from tests.support.database import make_database


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("lines", [40, 300])
async def test_kill_9_loses_nothing_that_was_accepted(tmp_path: Path, lines: int) -> None:
    """Each message that a killed process had accepted is queued or delivered, byte for byte; nothing else is left."""
    db = make_database(tmp_path)
    db.close()
    command = [sys.executable, "-m", "tests.integration.queue.busy_node", str(tmp_path), db.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as node:
        assert node.stdout is not None
        said = [node.stdout.readline() for _ in range(lines)]
        node.kill()
        said += node.stdout.read().splitlines(keepends=True)
    whole = [line.split() for line in said if line.endswith("\n")]
    accepted = {int(number): int(seed) for verb, number, *rest in whole if verb == "accepted" for seed in rest}
    delivered = {int(number) for verb, number in (line[:2] for line in whole) if verb == "delivered"}
    assert len(accepted) >= lines // 2
    async with house(tmp_path) as home:
        assert home.problems() == []
        assert home.rows("incoming") == 0
        queued = {message.id for who in (home.acme, home.bolt) for message in await home.due(who, home.clock.now())}
        assert not queued & delivered
        for number, seed in accepted.items():
            if number in queued:
                assert await home.queue.content(number) == RECEIVED + content(seed)
            else:
                (traced,) = trace(home.db, id=number)
                assert [recipient.state for recipient in traced.recipients] == [State.DELIVERED]


async def test_close_commits_what_was_submitted(tmp_path: Path) -> None:
    """A clean stop answers everybody who was waiting, and what they were told is on disk."""
    async with house(tmp_path) as home:
        waiting = [asyncio.create_task(home.accept()) for _ in range(50)]
        await asyncio.sleep(0)
        await home.queue.close()
        numbers = [number for (number,) in await asyncio.gather(*waiting)]
    async with house(tmp_path) as home:
        assert [message.id for message in await home.due()] == sorted(numbers)


@pytest.mark.sqlite_only("how its file is kept")
async def test_the_writer_syncs_every_commit(tmp_path: Path) -> None:
    """synchronous is FULL on the very connection that commits mail."""
    async with house(tmp_path) as home:
        found = await home.queue._call(
            lambda connection, _: [
                connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("synchronous", "journal_mode", "busy_timeout")
            ]
        )
    assert found == [2, "wal", 10_000]


@pytest.mark.sqlite_only("how its file is kept")
async def test_a_start_on_a_locked_database_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One plain line that names the file and the reason."""
    monkeypatch.setattr("relay.sqlite.BUSY_TIMEOUT", 0.2)
    db = make_database(tmp_path)
    other = sqlite3.connect(db.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    queue = Queue(db, Clock(), "n1", on_accept=lambda ids: None)
    with pytest.raises(DatabaseError, match=r"relay\.db: database is locked$"):
        await queue.start()
    await queue.close()
    other.close()
    db.close()


@pytest.mark.sqlite_only("how its file is kept")
async def test_a_database_that_can_not_keep_the_promise_is_refused(tmp_path: Path) -> None:
    """The queue doesn't start on a file whose settings were changed behind our back."""
    db = make_database(tmp_path)
    db.close()
    with sqlite3.connect(db.path) as raw:
        raw.execute("PRAGMA journal_mode=DELETE")
        raw.execute("PRAGMA auto_vacuum=NONE")
        raw.execute("VACUUM")
    raw.close()
    queue = Queue(Database(db.url, check=False), Clock(), "n1", on_accept=lambda ids: None)
    with pytest.raises(DatabaseError, match="can't promise to keep mail"):
        await queue.start()
    await queue.close()
