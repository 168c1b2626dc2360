"""What is remembered of a domain: bounded, written down, and read by others."""

from __future__ import annotations

import pytest

from relay.appliances import store
from relay.appliances.directory import Directory
from relay.appliances.model import Domain, NeverSeen, RecipientPolicy
from relay.db import Database
from relay.errors import Refused
from relay.recipients import lists, remembered
from relay.recipients.learned import APART, DAY, DOUBT_APART, Answer, Known
from relay.recipients.memories import Memories
from relay.recipients.memory import MOST, Memory
from relay.recipients.remembered import Key
from tests.support.database import add_domain

pytestmark = pytest.mark.usefixtures("engine")

YES, NO = Answer.ACCEPTED, Answer.REJECTED
NOW = 1_000_000_000.0


@pytest.fixture
def domain(db: Database) -> Domain:
    return add_domain(db, RecipientPolicy.LEARNED, name="gold.example", now=NOW)


async def memories(db: Database) -> Memories:
    """As a node has them at its start."""
    directory = Directory(db)
    await directory.refresh()
    made = Memories(db, directory)
    await made.refresh()
    return made


def test_random_addresses_make_it_no_larger() -> None:
    """Those who were confirmed stay, whatever is tried; what is let go is let go in the database too."""
    memory = Memory(Key(1, NOW))
    memory.learn("nobody", NO, NOW)
    memory.learn("nobody", NO, NOW + APART)
    memory.learn("ann", YES, NOW)
    for number in range(3 * MOST[NO]):
        memory.learn(f"guess{number}", NO, NOW + APART + number)
    assert len(memory) <= MOST[NO] + 1
    known = memory.get("nobody")
    assert known is not None and known.sure
    assert memory.get("ann") is not None
    assert memory.get(f"guess{3 * MOST[NO] - 1}") is not None
    assert memory.get("guess0") is None and memory.changed["guess0"] is None


def test_whom_it_asks_about_again() -> None:
    """First those that are doubted, then the oldest; what was rejected once is worth no question."""
    memory = Memory(Key(1, NOW))
    memory.learn("old", YES, NOW)
    memory.learn("older", YES, NOW - DAY)
    memory.learn("doubted", YES, NOW)
    memory.learn("doubted", NO, NOW + DAY)
    memory.learn("once", NO, NOW - 10 * DAY)
    memory.learn("new", YES, NOW + DAY)
    assert memory.due(NOW + DAY, 9) == ["older", "old"]
    assert memory.due(NOW + DAY + DOUBT_APART, 9) == ["doubted", "older", "old"]
    assert memory.best() == "new"
    memory.forget_old(NOW + 190 * DAY)
    assert len(memory) == 0


async def test_what_one_node_learned_another_reads(db: Database, domain: Domain) -> None:
    """At its start, and from then on what is new; also of a domain that was added meanwhile."""
    one, other = await memories(db), await memories(db)
    one.of(domain).learn("ann", YES, NOW)
    await one.write()
    await other.refresh()
    assert other.of(domain).get("ann") == Known(YES, NOW, NOW)
    third = await memories(db)
    assert third.of(domain).get("ann") == Known(YES, NOW, NOW)
    other.of(domain).learn("ann", YES, NOW + 500)
    await other.write()
    await one.refresh()
    assert one.of(domain).get("ann") == Known(YES, NOW, NOW + 500, 2)
    with db.write() as connection:
        assert remembered.forget(connection, domain, ["ann@gold.example"], NOW + 600) == 1
    for each in (one, other, third):
        await each.refresh()
        assert each.of(domain).get("ann") is None
    assert (await memories(db)).of(domain).get("ann") is None


async def test_a_domain_that_comes_again_begins_anew(db: Database, domain: Domain) -> None:
    """What was learned of one that was removed isn't written for its successor."""
    one = await memories(db)
    one.of(domain).learn("ann", YES, NOW)
    with db.write() as connection:
        store.remove_domain(connection, domain.name)
        again = store.add_domain(
            connection,
            NOW + 1,
            name=domain.name,
            appliance_id=domain.appliance_id,
            recipients=RecipientPolicy.LEARNED,
        )
    await one.write()
    with db.read() as connection:
        assert remembered.list_all(connection, again) == []
    assert one.of(again).get("ann") is None


async def test_thousands_are_written_and_read_in_pages(
    db: Database, domain: Domain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over several domains, each page a transaction of its own."""
    monkeypatch.setattr(remembered, "PAGE", 100)
    second = add_domain(db, RecipientPolicy.LEARNED, name="second.example", now=NOW)
    one = await memories(db)
    for number in range(1234):
        one.of(domain).learn(f"user{number}", YES, NOW)
        one.of(second).learn(f"user{number}", YES, NOW)
    await one.write()
    other = await memories(db)
    assert len(other.of(domain)) == len(other.of(second)) == 1234


async def test_what_is_learned_can_be_proven(db: Database, domain: Domain) -> None:
    """Where somebody is known, or where the never-seen are taken; the evidence says how it stands."""
    with db.write() as connection:
        assert lists.provable(connection, domain)[0]
        strict = store.set_domain(connection, domain.name, never_seen=NeverSeen.REJECT)
        assert lists.provable(connection, strict) == (
            False,
            "gold.example: no recipient has been learned yet, the never-seen are refused",
        )
    one = await memories(db)
    one.of(strict).learn("ann", YES, NOW)
    one.of(strict).learn("bob", YES, NOW + 60)
    one.of(strict).learn("once", NO, NOW)
    await one.write()
    with db.read() as connection:
        assert lists.provable(connection, strict) == (
            True,
            "gold.example: 2 recipients are known to exist (confirmed from 2001-09-09T01:46:40Z to "
            "2001-09-09T01:47:40Z) and 0 not to, the never-seen are refused",
        )
    one.of(strict).learn_everybody(YES, NOW)
    await one.write()
    with db.read() as connection:
        assert "accepts any address" in lists.provable(connection, strict)[1]


def test_only_addresses_of_the_domain_are_forgotten(db: Database, domain: Domain) -> None:
    """Another domain's is named."""
    with db.write() as connection, pytest.raises(Refused, match="not an address at gold.example"):
        remembered.forget(connection, domain, ["ann@other.example"], NOW)
