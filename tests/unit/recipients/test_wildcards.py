"""Primaries that accept anybody: when they are asked, and what is said of them."""

from __future__ import annotations

import pytest

from relay.appliances import facts
from relay.appliances.model import Domain, RecipientPolicy
from relay.db import Database
from relay.recipients.learned import DAY, WILDCARD, Answer
from relay.recipients.memory import Memory
from relay.recipients.remembered import Key
from relay.recipients.wildcards import Wildcards
from tests.support.clock import StagedClock
from tests.support.database import add_domain

pytestmark = pytest.mark.usefixtures("engine")


@pytest.fixture
def domain(db: Database) -> Domain:
    return add_domain(db, RecipientPolicy.LEARNED)


def findings(db: Database) -> list[tuple[int, str]]:
    with db.read() as connection:
        return [(one.appliance_id, one.domain) for one in facts.list_findings(connection) if one.condition == WILDCARD]


async def test_what_is_found_is_said_and_taken_back(db: Database, domain: Domain) -> None:
    """By the owner of the appliance alone; also when the domain isn't learned any more."""
    clock = StagedClock.at("2026-11-28 20:00")
    ours = Wildcards(db, clock, lambda _: True, lambda _connection, _id: True)
    robbed = Wildcards(db, clock, lambda _: True, lambda _connection, _id: False)
    elsewhere = Wildcards(db, clock, lambda _: False, lambda _connection, _id: True)
    for other in (robbed, elsewhere):
        await other.say([domain])
        assert findings(db) == []
    await ours.say([domain])
    assert findings(db) == [(domain.appliance_id, domain.name)]
    for other in (robbed, elsewhere):
        await other.say([])
        assert findings(db) == [(domain.appliance_id, domain.name)]
    await ours.say([])
    assert findings(db) == []


async def test_a_primary_is_asked_at_first_and_daily(db: Database, domain: Domain) -> None:
    """About somebody new each day; but about the same one where it gave no answer, which greylisting wants."""
    clock = StagedClock.at("2026-11-28 20:00")
    wildcards = Wildcards(db, clock, lambda _: True, lambda _connection, _id: True)
    memory = Memory(Key(domain.id, domain.created_at))
    assert wildcards.due(domain, memory, settled=False)
    stranger = wildcards.stranger(domain)
    assert not wildcards.due(domain, memory, settled=True), "it has just been asked"
    assert wildcards.stranger(domain) == stranger
    wildcards.answered(domain, memory, Answer.ACCEPTED)
    assert memory.wildcard
    assert not wildcards.due(domain, memory, settled=True)
    clock.leap(DAY)
    assert not wildcards.due(domain, memory, settled=False), "a primary that has just returned may accept anybody"
    assert wildcards.due(domain, memory, settled=True)
    assert wildcards.stranger(domain) != stranger
    wildcards.answered(domain, memory, Answer.REJECTED)
    assert not memory.wildcard
