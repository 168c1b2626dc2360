"""A rolling upgrade: old nodes go on where the database lets them, and are named where it doesn't."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import text

from relay.clock import Clock
from relay.cluster.upgrades import in_the_way
from relay.db import revisions
from tests.integration.cluster.nodes import add_appliances, running
from tests.support.database import make_database
from tests.support.waiting import eventually

KNOWN = [*revisions(), "9998_expand", "9999_contract"]
"""Of a program of tomorrow."""


async def test_a_running_node_goes_on_across_an_upgrade_that_expands(tmp_path: Path) -> None:
    """It keeps its lease, takes what is added, and may start again; a contraction waits for it."""
    db = make_database(tmp_path)
    async with running(db.url, "old") as old:
        with db.write() as connection:
            connection.execute(text("ALTER TABLE nodes ADD COLUMN tomorrow FLOAT"))
            connection.execute(text("UPDATE alembic_version SET version_num = '9998_expand'"))
        numbers = add_appliances(db, 1)
        await eventually(lambda: old.owned(numbers))
        with db.read() as connection:
            now = Clock().now()
            assert in_the_way(connection, revisions()[-1], KNOWN, now) == []
            assert in_the_way(connection, "9998_expand", KNOWN, now) == ["old"]
    async with running(db.url, "old") as old:
        assert old.owned(numbers)
    with db.read() as connection:
        assert in_the_way(connection, "9998_expand", KNOWN, Clock().now()) == [], "stopped is out of the way"
    db.close()


def test_a_database_from_before_there_were_nodes_has_nobody_in_the_way(tmp_path: Path) -> None:
    """And one whose nodes didn't say their revision has all of those that run, certain ones in any case."""
    db = make_database(tmp_path)
    now = Clock().now()
    with db.write() as connection:
        connection.execute(text("DROP TABLE nodes"))
        assert in_the_way(connection, KNOWN[0], KNOWN, now) == []
        assert in_the_way(connection, KNOWN[0], KNOWN, now, ["locked"]) == ["locked"]
        connection.execute(text("CREATE TABLE nodes (name TEXT, heartbeat_at FLOAT, stopped_at FLOAT, drift FLOAT)"))
        rows = f"('runs', {now}, NULL, 0), ('stopped', {now}, {now}, 0), ('long gone', {now - 3600}, NULL, 0)"
        connection.execute(text(f"INSERT INTO nodes VALUES {rows}"))  # noqa: S608
        assert in_the_way(connection, KNOWN[0], KNOWN, now, ["locked"]) == ["locked", "runs"]
    db.close()
