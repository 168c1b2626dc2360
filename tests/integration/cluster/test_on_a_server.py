"""What is different for nodes whose database is on a server: no file is shared, connections are lost, and it tells."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from relay.appliances import wakes
from relay.cluster import commits
from relay.db import Database
from relay.errors import StartFailed
from tests.integration.cluster.nodes import Running, add_appliances, running
from tests.support.postgres import server
from tests.support.waiting import eventually


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
