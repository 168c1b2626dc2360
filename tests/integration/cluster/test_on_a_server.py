"""What is different for nodes whose database is on a server: no file is shared, connections are lost, and it tells."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from sqlalchemy import insert

from relay.appliances import wakes
from relay.appliances.facts import raise_version
from relay.cluster import commits, lease
from relay.cluster.tables import owners
from relay.db import Database
from relay.errors import StartFailed
from tests.integration.cluster.nodes import Running, add_appliances, running
from tests.support.postgres import server
from tests.support.waiting import eventually, wait_until


async def test_a_name_runs_once_also_on_two_machines(tmp_path: Path, postgres_url: str) -> None:
    """Where no file is shared the first node is known by its renewals; one that died is not waited for long."""
    async with running(postgres_url, "one", folder=tmp_path / "here"):
        second = Running(postgres_url, "one", folder=tmp_path / "there")
        with pytest.raises(StartFailed, match="node one is already running on another machine"):
            await second.node.start()
        second.db.close()
    db = Database(postgres_url)
    with db.write() as connection:
        connection.exec_driver_sql("UPDATE nodes SET stopped_at = NULL")  # it died
    db.close()
    async with running(postgres_url, "one", folder=tmp_path / "there") as again:
        assert again.node.owns(0)


async def test_a_node_hears_of_commits_without_looking(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another process changes is told, with its commit."""
    monkeypatch.setattr(commits, "ANYWAY", 3600.0)
    async with running(postgres_url, "one") as one:
        db = Database(postgres_url)
        numbers = add_appliances(db, 1)
        await eventually(lambda: one.directory.appliance(numbers[0]))
        marked = asyncio.create_task(one.wake.wait(numbers[0]))
        with db.write() as connection:
            wakes.mark(connection, numbers)
        await asyncio.wait_for(marked, 20)
        db.close()


def test_a_decision_and_a_handover_do_not_wait_for_each_other(postgres_url: str) -> None:
    """What would be decided of an appliance while it changes hands isn't; neither transaction breaks off the other."""
    db = Database(postgres_url)
    (number,) = add_appliances(db, 1)
    about = {"hostname": "h", "version": "1", "listeners": [], "drift": 0.0, "isolated": ""}
    with db.write() as connection:
        for name in ("one", "two"):
            lease.register(connection, name, name, 1.0, **about)
        connection.execute(insert(owners).values(appliance_id=number, node="one", epoch=1))

    def give() -> None:
        with db.write_beside() as connection:
            lease.hand_over(connection, "one", {number: (1, "two")}, ["two"])

    giving = threading.Thread(target=give)
    with db.write() as connection:
        raise_version(connection)  # another appliance's fact, say, in the same transaction
        giving.start()
        wait_until(lambda: _waits_for_a_lock(db))
        assert not lease.holds(connection, "one", number, 1)
    giving.join(20)
    with db.write() as connection:
        assert lease.holds(connection, "two", number, 2)
    db.close()


def _waits_for_a_lock(db: Database) -> bool:
    with db.read() as connection:
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        return bool(connection.exec_driver_sql(waiting).scalar_one())


async def test_a_node_is_itself_again_soon_after_a_crash_of_the_server() -> None:
    """While the server is away a node owns nothing and stays; when it is back it owns, hears and reads again."""
    with server() as postgres:
        db = Database(postgres.fresh())
        numbers = add_appliances(db, 1)
        async with running(db.url, "one") as one:
            await asyncio.to_thread(postgres.stop, "immediate")
            await eventually(lambda: not one.owned(numbers))
            await asyncio.to_thread(postgres.start)
            await eventually(lambda: one.owned(numbers))
            later = add_appliances(db, 1, first=1)
            await eventually(lambda: one.owned(later))
        db.close()
