"""Lists of recipients: what operators keep, and what the edge is told of it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest
from sqlalchemy import Connection

from relay.appliances import store
from relay.appliances.directory import Directory
from relay.appliances.model import Domain, RecipientPolicy
from relay.db import Database
from relay.errors import Refused
from relay.recipients import lists
from relay.recipients.entry import Entry, Kind, Source
from relay.recipients.known import Recipients, Verdict
from tests.support.database import add_domain
from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("engine")


@pytest.fixture
def domain(db: Database) -> Domain:
    return add_domain(db, RecipientPolicy.LISTED)


def listed(connection: Connection, domain: Domain, source: Source | None = None) -> list[str]:
    return [one.entry.local for one in lists.list_all(connection, domain, source)]


def test_what_is_added_is_listed_once(db: Database, domain: Domain) -> None:
    """Addresses are listed by their part before the @, in lower case, and only new ones are counted."""
    with db.write() as connection:
        assert lists.add(connection, domain, ["Info@Gold.example.", "sales", "sales"], 1.0) == 2
        assert lists.add(connection, domain, ["info", "new@gold.example"], 2.0) == 1
        assert listed(connection, domain) == ["info", "new", "sales"]
        assert lists.remove(connection, domain, ["SALES@gold.example", "nobody"]) == 1
        assert listed(connection, domain) == ["info", "new"]


@pytest.mark.parametrize("address", ["info@other.example", "", "a b@gold.example", "<a@gold.example>"])
def test_what_is_no_address_of_the_domain_is_refused(db: Database, domain: Domain, address: str) -> None:
    """A line that isn't an address of this domain changes nothing and is named."""
    with db.read() as connection, pytest.raises(Refused, match="an address"):
        lists.add(connection, domain, [address], 0.0)


def test_each_source_has_a_list_of_its_own(db: Database, domain: Domain) -> None:
    """What a sync says replaces its own list alone; an address stands until both sources drop it."""
    ann, bob, cid = (Entry.parse(domain.name, name) for name in ("ann", "bob", "cid"))
    with db.write() as connection:
        lists.add(connection, domain, ["ann", "info"], 1.0)
        assert lists.replace(connection, domain, Source.SYNC, [ann, bob], 2.0) == lists.Change(2, 0, 2)
        assert lists.provable(connection, domain)[1] == "gold.example: 3 recipients are listed"
        assert lists.replace(connection, domain, Source.SYNC, [bob, cid], 3.0) == lists.Change(1, 1, 2)
        assert listed(connection, domain, Source.OPERATOR) == ["ann", "info"]
        assert {one.entry.local: one.added_at for one in lists.list_all(connection, domain)} == {
            "ann": 1.0,
            "bob": 2.0,
            "cid": 3.0,
            "info": 1.0,
        }
        assert lists.remove(connection, domain, ["bob", "info"]) == 1
        assert listed(connection, domain) == ["ann", "bob", "cid"]


def test_a_list_that_stays_the_same_is_not_reloaded(db: Database, domain: Domain) -> None:
    """Of two entries for one address the first stands; one that becomes an alias is a change, though none is new."""
    info, alias = Entry.parse(domain.name, "info"), Entry.parse(domain.name, "info", "ann@other.example")
    with db.write() as connection:
        lists.replace(connection, domain, Source.SYNC, [info], 1.0)
        before = lists.versions(connection)
        assert lists.replace(connection, domain, Source.SYNC, [info, alias], 2.0) == lists.Change(0, 0, 1)
        assert lists.versions(connection) == before
        assert lists.replace(connection, domain, Source.SYNC, [alias], 3.0) == lists.Change(0, 0, 1)
        assert lists.versions(connection) != before
        assert lists.list_all(connection, domain) == [
            lists.Listed(Entry("info", Kind.ALIAS, "ann@other.example"), Source.SYNC, 1.0)
        ]


def test_an_empty_list_proves_nothing(db: Database, domain: Domain) -> None:
    """The policy 'listed' can be carried out once somebody is listed."""
    with db.write() as connection:
        assert lists.provable(connection, domain) == (
            False,
            "gold.example: only listed recipients are taken, and the list is empty",
        )
        lists.add(connection, domain, ["info"], 0.0)
        assert lists.provable(connection, domain) == (True, "gold.example: 1 recipient is listed")


def test_a_catch_all_is_said(db: Database, domain: Domain) -> None:
    """The proof holds, and its evidence says that everybody is taken."""
    with db.write() as connection:
        assert lists.catch_alls(connection) == set()
        lists.add(connection, domain, ["info", "*@gold.example"], 0.0)
        assert lists.provable(connection, domain) == (
            True,
            "gold.example: every recipient is taken, by a catch-all in the list",
        )
        assert lists.catch_alls(connection) == {domain.id}


def test_a_removed_domain_takes_its_list_along(db: Database, domain: Domain) -> None:
    """Nothing is left behind for a domain that comes again."""
    with db.write() as connection:
        lists.add(connection, domain, ["info"], 0.0)
        store.remove_domain(connection, domain.name)
        assert lists.list_all(connection, domain) == []
        assert lists.versions(connection) == {}


async def test_a_node_knows_what_an_operator_changed(db: Database, domain: Domain) -> None:
    """Unknown is temporary while the list is empty, and final only once somebody is listed."""
    directory = Directory(db)
    await directory.refresh()
    recipients = Recipients(db, directory)
    assert recipients.verdict(domain, "info") is Verdict.UNDECIDED
    keeping_up = asyncio.create_task(recipients.run())
    await asyncio.sleep(0)
    with db.write() as connection:
        lists.add(connection, domain, ["info"], 0.0)
    await directory.refresh()
    await eventually(lambda: recipients.verdict(domain, "info") is Verdict.TAKEN)
    assert recipients.verdict(domain, "INFO+shop") is Verdict.TAKEN
    assert recipients.verdict(domain, "nobody") is Verdict.UNKNOWN
    assert recipients.verdict(domain, '"info"') is Verdict.TAKEN
    assert recipients.verdict(replace(domain, plus_addressing="-"), "info+shop") is Verdict.UNKNOWN
    assert recipients.verdict(replace(domain, plus_addressing="-"), "info-shop") is Verdict.TAKEN
    keeping_up.cancel()
    with suppress(asyncio.CancelledError):
        await keeping_up


async def test_only_lists_that_changed_are_loaded_again(db: Database, domain: Domain) -> None:
    """The others stay as they are in memory; one that became empty leaves everybody undecided."""
    with db.write() as connection:
        other = store.add_domain(connection, 0.0, name="b.example", appliance_id=domain.appliance_id)
        for one in (domain, other):
            lists.add(connection, one, ["info"], 0.0)
    recipients = Recipients(db, Directory(db))
    assert await recipients.refresh()
    assert not await recipients.refresh()
    before = dict(recipients._known)
    with db.write() as connection:
        lists.remove(connection, domain, ["info"])
    assert await recipients.refresh()
    assert recipients._known[other.id] is before[other.id]
    assert recipients.verdict(domain, "info") is Verdict.UNDECIDED


async def test_a_domain_with_the_number_of_a_removed_one_has_nobody(db: Database, domain: Domain, engine: str) -> None:
    """SQLite gives the number again: the list that went with the old domain is forgotten."""
    recipients = Recipients(db, Directory(db))
    with db.write() as connection:
        lists.add(connection, domain, ["info"], 0.0)
    await recipients.refresh()
    assert recipients.verdict(domain, "info") is Verdict.TAKEN
    with db.write() as connection:
        store.remove_domain(connection, domain.name)
        new = store.add_domain(
            connection,
            1.0,
            name="new.example",
            appliance_id=domain.appliance_id,
            recipients=RecipientPolicy.LISTED,
        )
        assert (new.id == domain.id) == (engine == "sqlite")
    await recipients.refresh()
    assert recipients.verdict(new, "info") is Verdict.UNDECIDED
