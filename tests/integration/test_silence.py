"""A server that hangs: its kernel acknowledges all that is sent, and nobody answers."""

from __future__ import annotations

import asyncio
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from relay import postgres, silence
from relay.db import Database
from relay.errors import DatabaseAway
from tests.support.certificates import certificate
from tests.support.node import SHORT, running
from tests.support.pgbouncer import pooler
from tests.support.postgres import PostgresCluster, place, server
from tests.support.replication import pair
from tests.support.waiting import eventually

QUICK = "?connect_timeout=2"
"""The least that libpq knows."""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second is long."""
    monkeypatch.setattr(silence, "PATIENCE", 0.5)
    monkeypatch.setattr(silence, "LOOK", 0.1)
    monkeypatch.setattr(postgres, "CONNECT_TIMEOUT", 2)


@pytest.fixture(scope="module")
def cluster() -> Iterator[PostgresCluster]:
    """A server that these tests may stop."""
    with server() as cluster:
        yield cluster


def _ask(db: Database, statement: str = "SELECT 1") -> object:
    with db.read() as connection:
        return connection.execute(text(statement)).scalar()


async def test_what_takes_long_on_a_server_that_lives_may_do_so(cluster: PostgresCluster) -> None:
    """A statement that is still being carried out is left alone."""
    db = Database(cluster.empty() + QUICK, check=False)
    assert await asyncio.to_thread(_ask, db, "SELECT 7 FROM pg_sleep(2)") == 7
    db.close()


async def test_a_server_that_hangs_is_away(cluster: PostgresCluster) -> None:
    """Whoever waits for it learns so in seconds; afterwards the same Database is of use again."""
    db = Database(cluster.empty() + QUICK, check=False)
    assert _ask(db) == 1
    with cluster.frozen(), pytest.raises(DatabaseAway, match="can't be reached"):
        await asyncio.wait_for(asyncio.to_thread(_ask, db), 10)
    assert await eventually(lambda: _answers(db))
    db.close()


async def test_a_server_that_hangs_is_away_over_tls(tmp_path: Path) -> None:
    """What is encrypted is cut as well, and new connections don't wait for a greeting that never comes."""
    with place() as folder:
        made = certificate(folder, "127.0.0.1")
        for file in (made.certificate, made.key):
            shutil.chown(file, folder.owner())
            file.chmod(0o600)
        with server(ssl="on", ssl_cert_file=str(made.certificate), ssl_key_file=str(made.key)) as cluster:
            db = Database(f"{cluster.empty()}{QUICK}&sslmode=verify-full&sslrootcert={made.certificate}", check=False)
            assert _ask(db, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") is True
            assert await asyncio.to_thread(_ask, db, "SELECT 7 FROM pg_sleep(2)") == 7
            with cluster.frozen(), pytest.raises(DatabaseAway, match="can't be reached"):
                await asyncio.wait_for(asyncio.to_thread(_ask, db), 20)
            assert await eventually(lambda: _answers(db))
            db.close()


async def test_a_server_that_hangs_behind_a_pooler_is_away(cluster: PostgresCluster, tmp_path: Path) -> None:
    """The pooler takes what is sent to it, and has nobody to give it to; what takes long where one lives is left."""
    with pooler(cluster, tmp_path) as pooled:
        db = Database(pooled(cluster.empty()) + QUICK, check=False)
        assert await asyncio.to_thread(_ask, db, "SELECT 7 FROM pg_sleep(4)") == 7
        with cluster.frozen(), pytest.raises(DatabaseAway, match="can't be reached"):
            await asyncio.wait_for(asyncio.to_thread(_ask, db), 30)
        assert await eventually(lambda: _answers(db))
        db.close()


async def test_who_waits_their_turn_at_a_pooler_is_left_alone(cluster: PostgresCluster, tmp_path: Path) -> None:
    """However long that takes: more want a session than it has, and each of them is busy."""
    with pooler(cluster, tmp_path) as pooled:
        db = Database(pooled(cluster.empty()) + QUICK, check=False)
        many = [asyncio.to_thread(_ask, db, "SELECT 7 FROM pg_sleep(1.5)") for _ in range(8)]
        assert await asyncio.gather(*many) == [7] * 8
        db.close()


async def test_a_pooler_that_goes_to_another_server_is_followed(tmp_path: Path) -> None:
    """All who wait at the one that hangs get to the one that takes writes, by the same way."""
    with pair() as two, pooler(two.leader, tmp_path) as pooled:
        db = Database(pooled(two.leader.empty()) + QUICK, check=False)
        assert _ask(db) == 1
        with two.leader.frozen():
            waiting = asyncio.gather(
                *(eventually(lambda: asyncio.to_thread(_answers, db), timeout=60) for _ in range(2))
            )
            await asyncio.to_thread(two.promote)
            pooled.go_to(two.leader)
            await waiting
            assert await asyncio.to_thread(_ask, db, "SELECT inet_server_port()") == two.leader.port
        db.close()


async def test_a_node_stops_though_its_server_hangs(cluster: PostgresCluster, tmp_path: Path) -> None:
    """Nothing that waits for an answer keeps it for longer than a node may take to stop."""
    settings = {"node": {**SHORT["node"], "database": cluster.fresh() + QUICK, "folder": str(tmp_path / "own")}}
    with ExitStack() as hanging:
        async with running(tmp_path, settings=settings):
            began = time.monotonic()
            hanging.enter_context(cluster.frozen())
        assert time.monotonic() - began < 30


async def test_the_one_that_was_promoted_is_gone_to_though_the_other_hangs() -> None:
    """Whoever waits for the old server to begin a transaction has it at the new one."""
    with pair() as two:
        db = Database(two.empty() + QUICK, check=False)
        assert _ask(db) == 1
        with two.leader.frozen():
            waiting = asyncio.create_task(asyncio.to_thread(_ask, db))
            await asyncio.to_thread(two.promote)
            assert await asyncio.wait_for(waiting, 10) == 1
            assert await asyncio.to_thread(_ask, db, "SELECT inet_server_port()") == two.leader.port
        db.close()


async def test_one_that_ends_while_its_server_is_asked_keeps_nobody_from_watching(cluster: PostgresCluster) -> None:
    """Afterwards a server that hangs is noticed as before."""
    url = cluster.empty().replace("+psycopg", "")
    asked, ended = threading.Event(), threading.Event()

    def connect(conninfo: str) -> psycopg.Connection[Any]:
        asked.set()
        ended.wait()
        return psycopg.connect(url, connect_timeout=2)

    watch = silence.Watch(connect, 2)
    one, other = silence.Watched.connect(url), silence.Watched.connect(url)
    for connection in (one, other):
        watch.add(connection)
    await asyncio.to_thread(one.execute, "SELECT pg_sleep(1)")
    assert asked.is_set()
    one.close()
    ended.set()
    with other, cluster.frozen(), pytest.raises(psycopg.OperationalError, match="has not answered"):
        await asyncio.wait_for(asyncio.to_thread(other.execute, "SELECT 1"), 10)


def _answers(db: Database) -> bool:
    try:
        return _ask(db) == 1
    except DatabaseAway:
        return False
