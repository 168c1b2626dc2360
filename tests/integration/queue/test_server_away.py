"""A PostgreSQL server that ends connections, restarts, becomes a standby or is full: nobody is told 250 for what isn't
stored, and the node comes back by itself."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest

from relay.db import Database
from relay.errors import DatabaseAway, DatabaseError, Deferred
from relay.queue import postgres_store
from relay.queue.states import State
from tests.integration.queue.material import LATER, NOW, RECEIVED, House, house, outcomes, second_node
from tests.support import database
from tests.support.postgres import PostgresCluster, server
from tests.support.processes import need_root
from tests.support.waiting import eventually


@pytest.fixture
def place(postgres: PostgresCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose database is on the server of all tests."""
    monkeypatch.setattr(database, "_servers", [postgres])
    return tmp_path


@pytest.fixture
def own_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PostgresCluster]:
    """A server of the test's own, that it may stop."""
    with server() as cluster:
        monkeypatch.setattr(database, "_servers", [cluster])
        yield cluster


def _name(home: House) -> str:
    return home.db.url.rpartition("/")[2]


def _end_connections(cluster: PostgresCluster, home: House) -> None:
    ours = f"datname = '{_name(home)}' AND pid <> pg_backend_pid()"
    cluster.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {ours}")  # noqa: S608


def _refusal(home: House) -> str:
    """What MAIL would be told; empty where it would be taken."""
    try:
        home.queue.check()
    except Deferred as refusal:
        return str(refusal)[:9]
    return ""


class Flood:
    """Clients without a pause, who write down what was taken."""

    def __init__(self, home: House) -> None:
        self.home = home
        self.stored: set[int] = set()
        self.refused = 0
        self.replies: set[str] = set()
        self.ends = asyncio.Event()

    async def client(self, seed: int) -> None:
        content = random.Random(seed).randbytes(2000)
        while not self.ends.is_set():
            try:
                self.stored.update(await self.home.accept("a@acme.example", "b@bolt.example", content=content))
            except Deferred as refusal:
                self.refused += 1
                self.replies.add(str(refusal)[:9])
                await asyncio.sleep(0.02)


@asynccontextmanager
async def _flood(home: House, clients: int = 10) -> AsyncIterator[Flood]:
    flood = Flood(home)
    running = [asyncio.create_task(flood.client(seed)) for seed in range(clients)]
    yield flood
    flood.ends.set()
    await asyncio.gather(*running)


async def _nothing_lost(home: House, flood: Flood) -> None:
    """What was taken is there; what is there besides was refused, and may come again."""
    there = {message.id for appliance in (home.acme, home.bolt) for message in await home.due(appliance)}
    assert flood.stored <= there
    assert len(there - flood.stored) <= 2 * flood.refused
    assert home.problems() == []


async def test_connections_ended_in_the_middle_of_commits(postgres: PostgresCluster, place: Path) -> None:
    """Whatever the server was doing for us: 451 or the truth, and mail is taken again at once."""
    async with house(place) as home:
        async with _flood(home) as flood:
            dice = random.Random(1)
            for _ in range(25):
                await asyncio.sleep(dice.random() * 0.1)
                await asyncio.to_thread(_end_connections, postgres, home)
            before = len(flood.stored)
            await eventually(lambda: len(flood.stored) > before + 100)
        assert flood.refused > 0
        assert flood.replies == {"451 4.3.0"}
        await _nothing_lost(home, flood)


async def test_what_happened_is_recorded_though_connections_end(postgres: PostgresCluster, place: Path) -> None:
    """record() and the reading of content go on, and no outcome is counted twice."""
    async with house(place) as home, second_node(home) as other:
        for _ in range(100):
            await home.accept(content=b"Subject: x\r\n\r\n")
        mail = await home.due()
        for turn, message in enumerate(mail):
            if turn % 20 == 0:
                ending = asyncio.create_task(asyncio.to_thread(_end_connections, postgres, home))
            content = None
            while content is None:
                try:
                    content = await other.content(message.id)
                except DatabaseAway:
                    await asyncio.sleep(0.01)
            assert content == RECEIVED + b"Subject: x\r\n\r\n"
            await other.record(outcomes([message], State.QUEUED, LATER, at=NOW + 1))
            await other.record(outcomes([message], at=NOW + 2))
        await ending
        assert home.ledger().delivered == len(mail)
        assert home.problems() == []


async def test_a_server_that_crashes_and_comes_back(own_server: PostgresCluster, tmp_path: Path) -> None:
    """While it is away MAIL is refused at once, and the node stays up; seconds after its return mail is taken again."""
    async with house(tmp_path) as home:
        running = asyncio.create_task(home.queue.run())
        async with _flood(home) as flood:
            await eventually(lambda: len(flood.stored) > 50)
            await asyncio.to_thread(own_server.stop, "immediate")
            await eventually(lambda: _refusal(home) == "451 4.3.0")
            with pytest.raises(DatabaseAway):
                await home.queue.content(min(flood.stored))
            await asyncio.to_thread(own_server.start)
            await eventually(lambda: _refusal(home) == "", timeout=postgres_store.LONGEST_PAUSE + 5)
            before = len(flood.stored)
            await eventually(lambda: len(flood.stored) > before + 50)
        assert flood.replies == {"451 4.3.0"}
        assert not running.done()
        running.cancel()
        await _nothing_lost(home, flood)


async def test_a_server_that_only_reads_any_more(postgres: PostgresCluster, place: Path) -> None:
    """As after a promotion of another: 451, until there is one that takes writes."""
    async with house(place) as home:
        await home.accept()
        postgres.execute(f"ALTER DATABASE {_name(home)} SET default_transaction_read_only = on")
        _end_connections(postgres, home)
        with pytest.raises(Deferred, match=r"451 4\.3\.0"):
            await home.accept()
        await eventually(lambda: _refusal(home) == "451 4.3.0")
        postgres.execute(f"ALTER DATABASE {_name(home)} SET default_transaction_read_only = off")
        await eventually(lambda: _refusal(home) == "")
        await home.accept()
        assert home.ledger().queued == 2


async def test_a_server_that_may_lose_commits_is_not_used(postgres: PostgresCluster, place: Path) -> None:
    """Where somebody turns synchronous_commit off, no mail is taken from the next connection on."""
    async with house(place) as home:
        postgres.execute(f"ALTER DATABASE {_name(home)} SET synchronous_commit = off")
        _end_connections(postgres, home)
        with pytest.raises(Deferred, match=r"451 4\.3\.0"):
            await home.accept()
        await eventually(lambda: _refusal(home) == "451 4.3.0")
        with pytest.raises(DatabaseError, match="synchronous_commit is off"):
            Database(home.db.url)


async def test_a_commit_that_the_standby_has_not_confirmed(own_server: PostgresCluster, tmp_path: Path) -> None:
    """Where an administrator breaks off the wait for a synchronous standby the server says success, and a warning: the
    client is told 451."""
    async with house(tmp_path) as home:
        own_server.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        own_server.execute("SELECT pg_reload_conf()")
        accepting = asyncio.create_task(home.accept())
        waiting = "FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        await eventually(lambda: own_server.execute(f"SELECT 1 {waiting}"))
        own_server.execute(f"SELECT pg_cancel_backend(pid) {waiting}")
        with pytest.raises(Deferred, match=r"451 4\.3\.0"):
            await accepting
        own_server.execute("ALTER SYSTEM RESET synchronous_standby_names")
        own_server.execute("SELECT pg_reload_conf()")
        await eventually(lambda: _refusal(home) == "")
        await home.accept()


async def test_a_warning_of_the_server_refuses_nobody(postgres: PostgresCluster, place: Path) -> None:
    """A commit that comes with a warning about something else is a commit: 250, and the message is there once."""
    async with house(place) as home:
        postgres.execute(
            "CREATE FUNCTION warn() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE WARNING 'vacuum soon'; RETURN NEW; END $$",
            _name(home),
        )
        postgres.execute(
            "CREATE TRIGGER warns BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION warn()", _name(home)
        )
        await home.accept()
        assert home.ledger().queued == 1


async def test_a_transaction_that_another_breaks_off_is_tried_again(postgres: PostgresCluster, place: Path) -> None:
    """Of two that wait for each other the server ends one: ours is carried out afterwards, and nobody hears of it."""
    async with house(place) as home:
        for _ in range(2):
            await home.accept()
        first, second = await home.due()
        with psycopg.connect(f"host={postgres.folder} port={postgres.port} user=admin dbname={_name(home)}") as other:
            other.execute("SET deadlock_timeout = '60s'")
            lock = "SELECT 1 FROM recipients WHERE message_id = %s FOR UPDATE"
            other.execute(lock, (second.id,))
            recording = asyncio.create_task(home.queue.record(outcomes([first, second])))
            waiting = f"SELECT 1 FROM pg_stat_activity WHERE datname = '{_name(home)}' AND wait_event_type = 'Lock'"  # noqa: S608
            await eventually(lambda: postgres.execute(waiting))
            await asyncio.to_thread(other.execute, lock, (first.id,))
        await recording
        assert home.ledger().delivered == 2
        assert home.problems() == []


@pytest.fixture
def small_disk(own_server: PostgresCluster) -> Iterator[Path]:
    """A file system of 32 MB that the server may use."""
    need_root()
    disk = own_server.folder / "small"
    disk.mkdir()
    owner = own_server.data.stat().st_uid
    options = f"size=32m,uid={owner},mode=700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)], capture_output=True, check=True)
    try:
        yield disk
    finally:
        own_server.stop("immediate")
        subprocess.run(["umount", str(disk)], check=True)


async def test_a_server_whose_disk_is_full(own_server: PostgresCluster, small_disk: Path, tmp_path: Path) -> None:
    """Mail gets 452 4.3.1, what happened is recorded all the same, and mail is taken again once there is room."""
    async with house(tmp_path) as home:
        place = small_disk / "tablespace"
        place.mkdir(mode=0o700)
        os.chown(place, small_disk.stat().st_uid, -1)
        own_server.execute(f"CREATE TABLESPACE small LOCATION '{place}'")
        own_server.execute("ALTER TABLE content SET TABLESPACE small", _name(home))
        noise = random.Random(1)
        stored = {}
        with pytest.raises(Deferred, match=r"452 4\.3\.1"):
            while True:
                content = noise.randbytes(500_000)
                (number,) = await home.accept(content=content)
                stored[number] = content
        assert len(stored) > 20
        mail = await home.due()
        assert {message.id for message in mail} == set(stored)
        for message in mail:
            assert await home.queue.content(message.id) == RECEIVED + stored[message.id]
        await home.queue.record(outcomes(mail))
        subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], capture_output=True, check=True)
        await home.accept(content=noise.randbytes(500_000))
        assert home.problems() == []


async def test_what_an_operator_says_the_volume_has_is_what_mail_may_use(
    postgres: PostgresCluster, place: Path
) -> None:
    """The server can't say what is free: without a word nobody knows; with one it is counted, and mail gets 452."""
    async with house(place) as home:
        await home.accept()
        assert home.queue.disk_free() is None
        ((size,),) = postgres.execute(f"SELECT pg_database_size('{_name(home)}')")
        assert isinstance(size, int)
        home.queue.reconfigure(0, size + 100_000_000)
        free = home.queue.disk_free()
        assert free is not None
        assert 50_000_000 < free < 70_000_000  # 32 MB are reserved
        noise = random.Random(1)
        await home.accept(content=noise.randbytes(500_000))
        home.queue.reconfigure(0, size + 33_600_000)
        with pytest.raises(Deferred, match=r"452 4\.3\.1"):
            await home.accept(content=noise.randbytes(500_000))
        home.queue.reconfigure(0, 1_000_000)
        assert _refusal(home) == "452 4.3.1"
        home.queue.reconfigure(0, 0)
        assert _refusal(home) == ""
