"""A server of the database that carries a decision out, and dies before it says so: nothing is begun or said twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.appliances import facts
from relay.appliances.facts import Continuity, Health, Outage
from relay.errors import DatabaseAway
from relay.tickets import operators
from relay.tickets.states import Condition, Event, Status
from tests.integration.continuity.world import World, world
from tests.support import database
from tests.support.obstacles import answers_lost
from tests.support.postgres import PostgresCluster, server
from tests.support.waiting import eventually


@pytest.fixture
def own_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[PostgresCluster]:
    """A server of the test's own, on which its databases are."""
    with server() as cluster:
        monkeypatch.setattr(database, "_servers", [cluster])
        yield cluster


def outages(it: World) -> list[Outage]:
    found: list[Outage] = it.see(facts.list_outages)
    return found


async def test_an_outage_whose_steps_get_no_answer_is_one_and_told_once(
    own_server: PostgresCluster, tmp_path: Path
) -> None:
    """Its beginning, takeover, return and end: each is taken up as it was carried out."""
    async with world(tmp_path) as it:
        await it.until(lambda: it.continuity.ready)
        await it.set_health(Health.DOWN)
        async with answers_lost(own_server):
            await it.controller.tick()
        (outage,) = outages(it)
        it.shift(120)  # what proves it was cut off too
        await it.until(lambda: it.continuity.state is Continuity.ACTIVE)
        await it.until(lambda: (ticket := it.ticket()) and ticket.priority == 3)
        await it.set_health(Health.UP, "answers")
        async with answers_lost(own_server):
            await it.controller.tick()
        assert it.continuity.state is Continuity.DRAINING
        await it.until(lambda: outages(it)[0].drained_at)
        it.shift(601)
        await it.until(lambda: it.continuity.state is Continuity.STANDBY)
        (outage,) = outages(it)
        assert None not in (outage.taken_over_at, outage.returned_at, outage.drained_at, outage.ended_at)
        assert it.continuity.downs == (outage.began_at,)
        ticket = it.ticket()
        assert ticket is not None
        assert ticket.status is Status.RESOLVED
        said = it.story()
        assert len(set(said)) == len(said)
        assert [event for event, _ in said].count(Event.COMMENT) == 2  # it is back, and drained


async def test_what_is_found_is_told_once_though_no_answer_comes(own_server: PostgresCluster, tmp_path: Path) -> None:
    """A comment that stands last in the ticket isn't written once more."""
    async with world(tmp_path) as it:
        number = it.appliance.id
        it.change(facts.set_finding, number, "", "backup", "the last backup is 40 days old", it.now)
        await it.directory.refresh()
        await it.until(lambda: it.ticket(Condition.BACKUP))
        it.change(facts.set_finding, number, "", "backup", "the last backup is 41 days old", it.now)
        await it.directory.refresh()
        async with answers_lost(own_server):
            await it.controller.tick()
        it.shift(10)
        await eventually(lambda: it.directory.snapshot.version == it.see(facts.version))
        for _ in range(3):
            await it.controller.tick()
        assert it.story(Condition.BACKUP)[1:] == [(Event.COMMENT, "the last backup is 41 days old")]


async def test_who_gets_no_answer_is_told_to_look_first(own_server: PostgresCluster, tmp_path: Path) -> None:
    """Whoever writes a comment at that moment hears that it may be there."""
    async with world(tmp_path) as it:
        it.change(facts.set_finding, it.appliance.id, "", "backup", "the last backup is 40 days old", it.now)
        await it.directory.refresh()
        ticket = await it.until(lambda: it.ticket(Condition.BACKUP))
        async with answers_lost(own_server):
            with pytest.raises(
                DatabaseAway, match="isn't known whether the change was made: look before you repeat it"
            ):
                await it.db.change(operators.comment, ticket.id, "sam", "They make one tonight.", it.now)
        assert it.story(Condition.BACKUP)[-1] == (Event.COMMENT, "They make one tonight.")
