"""A node that was started by a wrong clock counts with a wrong time until it starts again: that is seen."""

from __future__ import annotations

import time

from sqlalchemy import text
from structlog.testing import capture_logs

from cli.nodes_check import clock_words
from relay import events
from relay.clock import Clock
from relay.cluster.nodes import NodeRow, NodeState, nodes
from relay.cluster.upgrades import in_the_way
from relay.db import Database, revisions
from tests.integration.cluster.nodes import running
from tests.support.waiting import eventually

HOURS = 3 * 3600.0 + 30.0


def rows(db: Database) -> dict[str, NodeRow]:
    with db.read() as connection:
        return {row.name: row for row in nodes(connection)}


async def test_a_node_that_started_by_a_wrong_clock_is_known(postgres_url: str) -> None:
    """By the clock of the database's server: it counts as live, nothing upgrades under it, and it is said what to do
    about it, also when its machine's clock has been mended."""
    mended = [0.0]
    slow = Clock(wall=lambda: time.time() - HOURS + mended[0])
    db = Database(postgres_url)
    async with running(postgres_url, "right"), running(postgres_url, "slow", slow):
        found = rows(db)
        now = Clock().now()
        assert [found[name].state(now) for name in ("right", "slow")] == [NodeState.LIVE, NodeState.LIVE]
        assert clock_words(found["right"]) is None
        assert clock_words(found["slow"]) == (
            "its time is 3h behind the database server's",
            "see which clock is wrong, and mend NTP there; a node takes another time only when it starts",
        )
        with db.read() as connection:
            assert in_the_way(connection, "9998_expand", [*revisions(), "9998_expand"], now) == ["right", "slow"]
        mended[0] = HOURS
        await eventually(lambda: rows(db)["slow"].drift > HOURS - 1.0)
        row = rows(db)["slow"]
        assert row.state(now) is NodeState.LIVE
        assert clock_words(row) == (
            "its time is 3h behind the database server's, for it started by a wrong clock that is right now",
            "restart the node at a quiet time",
        )
    async with running(postgres_url, "slow", Clock(wall=lambda: time.time() - HOURS + mended[0])):
        assert clock_words(rows(db)["slow"]) is None
    db.close()


async def test_the_difference_is_measured_as_it_is_and_said_when_it_begins_and_ends(postgres_url: str) -> None:
    """A small one too is in the metric, which goes by each renewal; only a large one is spoken of."""

    class Shifted(Clock):
        ahead = 59.0

        def now(self) -> float:
            return super().now() + self.ahead

    def measured(seconds: float) -> bool:
        return abs((events.registry.get_sample_value("relay_clock_skew_seconds") or 0.0) - seconds) < 1.0

    clock = Shifted()
    with capture_logs() as lines:
        async with running(postgres_url, "one", clock):
            assert measured(59.0)
            for clock.ahead in (70.0, 15.0):
                await eventually(lambda: measured(clock.ahead))
    said = [(line["log_level"], line["event"], line["skew_seconds"]) for line in lines if "skew_seconds" in line]
    assert said == [
        ("warning", "the time differs from the database server's", 70),
        ("info", "the time agrees with the database server's again", 15),
    ]


def test_a_node_that_an_older_program_renews_is_not_upgraded_under(postgres_url: str) -> None:
    """It knows nothing of the skew that a newer one left behind, of a start by a wrong clock."""
    db = Database(postgres_url)
    now = Clock().now()
    with db.write() as connection:
        connection.execute(text("DROP TABLE nodes"))
        columns = "name TEXT, heartbeat_at FLOAT8, stopped_at FLOAT8, drift FLOAT8, skew FLOAT8"
        connection.execute(text(f"CREATE TABLE nodes ({columns})"))
        rows = f"('lives', {now}, NULL, 0, {HOURS}), ('long gone', {now - 2 * HOURS}, NULL, 0, {-HOURS})"
        connection.execute(text(f"INSERT INTO nodes VALUES {rows}"))  # noqa: S608
        assert in_the_way(connection, revisions()[-1], revisions(), now) == ["lives"]
    db.close()
