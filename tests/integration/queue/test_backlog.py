"""What operators ask of a backlog, however long it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay.queue import backlog, operators
from relay.queue.filter import Filter
from relay.queue.states import State
from tests.integration.queue.material import LATER, NOW, House, house, outcomes

pytestmark = pytest.mark.usefixtures("engine")


@pytest.mark.parametrize("head", [1, 2, 5000])
async def test_the_oldest_of_each_domain_is_found_wherever_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: int
) -> None:
    """At the head of its appliance's backlog, or behind another domain's mail."""
    monkeypatch.setattr(backlog, "HEAD", head)
    async with house(tmp_path) as home:
        for age in (50, 40, 30):
            await home.accept("user@acme.example", received_at=NOW - age)
        await home.accept("user@acme.test", "user@acme.example", received_at=NOW - 20)
        await home.accept("user@acme.test", received_at=NOW - 10)
        await home.accept("user@bolt.example", received_at=NOW - 5)
        operators.drop(home.db, Filter(ids=(1,)), NOW, "ann")
        operators.hold(home.db, Filter(ids=(2,)), NOW, "ann")
        with home.db.read() as connection:
            found = backlog.oldest_waiting(connection)
        assert found == {"acme.example": NOW - 30, "acme.test": NOW - 20, "bolt.example": NOW - 5}


async def test_what_is_put_off_is_counted_apart(tmp_path: Path) -> None:
    """Until its time has come; what never had mail is left out."""
    async with house(tmp_path) as home:
        await _deferred(home, 3, NOW + 60)
        await home.accept()
        with home.db.read() as connection:
            assert backlog.handable(connection, [home.acme, home.bolt], NOW) == {home.acme: (1, 3)}
            assert backlog.handable(connection, [home.acme], NOW + 61) == {home.acme: (4, 0)}


async def _deferred(home: House, count: int, until: float) -> None:
    for _ in range(count):
        await home.accept()
    await home.queue.record(outcomes(await home.due(), State.QUEUED, LATER, next_attempt_at=until))


async def test_messages_are_counted_once_whoever_they_are_for(tmp_path: Path) -> None:
    """Beyond a number, as far as there is time for it."""
    async with house(tmp_path) as home:
        for _ in range(4):
            await home.accept("one@acme.example", "two@acme.example", "three@acme.test", "four@bolt.example")
        everything = list(operators.message_numbers(home.db, Filter(), NOW))
        assert everything == list(range(1, 9))  # one for each appliance
        assert list(operators.message_numbers(home.db, Filter(domain="bolt.example"), NOW)) == [2, 4, 6, 8]
        acme = Filter(domain="acme.example")
        assert operators.count_messages(home.db, acme, NOW, after=3, seconds=60) == (2, True)
        assert operators.count_messages(home.db, acme, NOW, after=3, seconds=-1) == (0, False)
