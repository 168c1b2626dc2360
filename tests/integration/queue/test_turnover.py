"""A node's sums on PostgreSQL go over to new rows now and then, and are the same afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay.queue import turnover
from tests.integration.queue.material import House, house, outcomes, second_node
from tests.support import database
from tests.support.postgres import PostgresCluster
from tests.support.waiting import eventually


@pytest.fixture
def place(postgres: PostgresCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose database is on the server of all tests."""
    monkeypatch.setattr(database, "_servers", [postgres])
    return tmp_path


def _names(home: House, table: str = "ledger") -> set[str]:
    with home.db.read() as connection:
        return set(connection.exec_driver_sql(f"SELECT node FROM {table}").scalars())  # noqa: S608


async def test_no_row_is_changed_more_often_than_a_turn_lasts(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was added in turns that are over is in one row, and ledger, depths and quotas are what they were."""
    monkeypatch.setattr(turnover, "TURN", 5)
    async with house(place) as home, second_node(home) as other:
        for _ in range(12):
            await home.accept("a@acme.example", "b@bolt.example")
            await other.accept(home.letter())
        await home.queue.record(outcomes(await home.due()))
        for table in ("ledger", "depths", "arrivals"):
            names = _names(home, table)
            assert {"n1", "n2"} < names
            assert len(names) <= 4, names
        assert (home.ledger().delivered, home.ledger("bolt.example").queued) == (24, 12)
        assert home.problems() == []
        await eventually(lambda: other.depth(home.bolt).queued == 12)


async def test_a_turn_that_a_crash_has_left_behind_is_folded_at_the_next_start(place: Path) -> None:
    """However the node ended, its rows don't grow in number."""
    async with house(place) as home:
        await home.accept()
        assert _names(home) == {"n1/1"}
    async with house(place) as home:
        assert _names(home) == {"n1"}
        assert home.ledger().queued == 1
        assert home.problems() == []
