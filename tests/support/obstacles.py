"""What gets in the way of a database, on either engine: who holds the turn of those who write, and what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from typing import Literal

import psycopg
import pytest

from relay import postgres
from relay.db import Database
from tests.support.postgres import PostgresCluster
from tests.support.waiting import eventually


def impatient(monkeypatch: pytest.MonkeyPatch, seconds: float = 0.2) -> None:
    """Who has to wait for a turn gives up after this time; to be said before the database is opened."""
    monkeypatch.setattr("relay.sqlite.BUSY_TIMEOUT", seconds)
    usual = f"lock_timeout = {int(postgres.BUSY_TIMEOUT * 1000)}"
    assert usual in postgres._WRITE
    monkeypatch.setattr(postgres, "_WRITE", postgres._WRITE.replace(usual, f"lock_timeout = {int(seconds * 1000)}"))


@contextmanager
def turn_taken(db: Database) -> Iterator[None]:
    """Another process holds the turn of those who write. On PostgreSQL mail needs none."""
    with closing(db.raw()) as other:
        if db.dialect == "sqlite":
            other.execute("BEGIN IMMEDIATE")
        else:
            other.execute(f"BEGIN; SELECT pg_advisory_xact_lock({postgres.TURN})")
        yield
        other.execute("ROLLBACK")


@contextmanager
def refused(
    db: Database,
    change: Literal["INSERT", "UPDATE", "DELETE"],
    table: str,
    appliance_id: int | None = None,
    *,
    when: str = "",
) -> Iterator[None]:
    """The database refuses each such change of a table (of an appliance; ``when`` that is true of the row), and with it
    the transaction that tries."""
    trigger = f"not_now BEFORE {change} ON {table} FOR EACH ROW"
    if appliance_id is not None:
        when = f"NEW.appliance_id = {appliance_id}"
    if when:
        trigger += f" WHEN ({when})"
    if db.dialect == "sqlite":
        begin = [f"CREATE TRIGGER {trigger} BEGIN SELECT RAISE(ABORT, 'not now'); END"]
        end = ["DROP TRIGGER not_now"]
    else:
        begin = [
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not now'; END $$",
            f"CREATE TRIGGER {trigger} EXECUTE FUNCTION refuse()",
        ]
        end = [f"DROP TRIGGER not_now ON {table}", "DROP FUNCTION refuse"]
    _execute(db, begin)
    yield
    _execute(db, end)


@asynccontextmanager
async def answers_lost(cluster: PostgresCluster) -> AsyncIterator[None]:
    """Whatever is committed within the block is there, and its connection is gone before the answer comes."""
    cluster.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")  # it would confirm, if it were there
    cluster.execute("SELECT pg_reload_conf()")
    cut: list[int] = []
    cutting = asyncio.create_task(_cut(cluster, cut))
    try:
        with pytest.raises(psycopg.OperationalError):  # the server's checkpointer tells the others, in its own time
            while True:
                await asyncio.to_thread(cluster.execute, "SELECT pg_logical_emit_message(true, 'seen', '')")
        rounds = len(cut)
        await eventually(lambda: len(cut) > rounds + 1)
        cut.clear()
        yield
        await eventually(lambda: sum(cut) > 0)  # it counts after it has cut
    finally:
        cutting.cancel()
        with suppress(asyncio.CancelledError):
            await cutting
        cluster.execute("ALTER SYSTEM RESET synchronous_standby_names")
        cluster.execute("SELECT pg_reload_conf()")


async def _cut(cluster: PostgresCluster, cut: list[int]) -> None:
    """Again and again; ``cut``: how many connections each time."""
    waiting = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    while True:
        cut.append(len(await asyncio.to_thread(cluster.execute, waiting)))
        await asyncio.sleep(0.01)


def _execute(db: Database, statements: list[str]) -> None:
    with db.write() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
