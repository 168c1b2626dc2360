"""Long lists: changed at once, in slices that keep nobody waiting, whole or not at all."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from itertools import count

import pytest
from sqlalchemy import func, select

from relay.appliances import store
from relay.appliances.model import Domain, RecipientPolicy
from relay.db import Database
from relay.errors import NotFound, Refused
from relay.recipients import editions, lists
from relay.recipients.editions import Plan
from relay.recipients.entry import Entry, Source
from relay.recipients.lists import Change
from relay.recipients.tables import recipients_list
from tests.support.database import add_domain

pytestmark = pytest.mark.usefixtures("engine")

KILLED = """
import os, sys, types
from relay.appliances import store
from relay.db import Database
from relay.recipients import editions
from relay.recipients.entry import Entry, Source

editions.ROWS, slices = 5, iter(range(3))
# Its pauses alone: others in this process sleep too.
editions.time = types.SimpleNamespace(sleep=lambda _: next(slices, None) is None and os._exit(9))
db = Database(sys.argv[1])
with db.read() as connection:
    domain = store.get_domain(connection, "gold.example")
entries = [Entry(f"killed{number}") for number in range(30)]
editions.carry_out(db, editions.plan(db, domain, Source.OPERATOR, entries, keep=False), 2.0)
"""


@pytest.fixture
def domain(db: Database) -> Domain:
    return add_domain(db, RecipientPolicy.LISTED)


@pytest.fixture
def slowly(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Slices of five rows; and what happens in the pauses between them."""
    monkeypatch.setattr(editions, "ROWS", 5)

    def between(happens: Callable[[], None]) -> None:
        monkeypatch.setattr(editions.time, "sleep", lambda _: happens())

    between(lambda: None)
    return between


def some(prefix: str, number: int = 23) -> list[Entry]:
    return [Entry(f"{prefix}{place:02}") for place in range(number)]


def planned(db: Database, domain: Domain, entries: list[Entry], *, keep: bool = False) -> Plan:
    return editions.plan(db, domain, Source.OPERATOR, entries, keep=keep)


def seen(db: Database, domain: Domain) -> set[str]:
    """Who exists, as the edge loads it."""
    with db.read() as connection:
        return {local for _, mailboxes, _ in lists.load(connection, [domain.id]) for local in mailboxes}


def rows(db: Database, prefix: str = "") -> int:
    with db.read() as connection:
        query = select(func.count()).select_from(recipients_list).where(recipients_list.c.local.startswith(prefix))
        return connection.execute(query).scalar_one()


def test_a_long_list_changes_at_once(
    db: Database, domain: Domain, slowly: Callable[[Callable[[], None]], None]
) -> None:
    """However many slices it is written in, a node sees the list of before or the new one, and nothing stays behind."""
    old, new = {entry.local for entry in some("a")}, {entry.local for entry in some("b")}
    views: list[set[str]] = []
    slowly(lambda: views.append(seen(db, domain)))
    assert editions.carry_out(db, planned(db, domain, some("a")), 1.0) == Change(23, 0, 23)
    assert [view for view in views if view not in (set(), old)] == []
    views.clear()
    assert editions.carry_out(db, planned(db, domain, some("b")), 2.0) == Change(23, 23, 23)
    assert [view for view in views if view not in (old, new)] == []
    assert old in views
    assert new in views
    assert seen(db, domain) == new
    assert rows(db) == 23


def test_what_stays_keeps_its_time(db: Database, domain: Domain, slowly: object) -> None:
    """Only what is new is of now; what is there and unchanged is not touched, nor what a sync lists."""
    with db.write() as connection:
        lists.replace(connection, domain, Source.SYNC, some("a", 1), 0.5)
    editions.carry_out(db, planned(db, domain, some("a")), 1.0)
    assert editions.carry_out(db, planned(db, domain, some("b"), keep=True), 2.0) == Change(23, 0, 46)
    times = {(one.source, one.entry.local[0]): one.added_at for one in every(db, domain)}
    assert times == {("operator", "a"): 1.0, ("operator", "b"): 2.0, ("sync", "a"): 0.5}
    with db.read() as connection:
        before = lists.versions(connection)
    assert editions.carry_out(db, planned(db, domain, some("b"), keep=True), 3.0) == Change(0, 0, 46)
    with db.read() as connection:
        assert lists.versions(connection) == before


def every(db: Database, domain: Domain) -> list[lists.Listed]:
    return [one for source in Source for one in editions.every(db, domain, source)]


@pytest.mark.parametrize("pause", [1, 5], ids=["early", "late"])
@pytest.mark.parametrize("number", [23, 1], ids=["long", "short"])
def test_of_two_at_the_same_time_one_is_refused(
    number: int, pause: int, db: Database, domain: Domain, slowly: Callable[[Callable[[], None]], None]
) -> None:
    """Whoever comes second wins, whole; the first is told, and nothing of it is left."""
    first = planned(db, domain, some("first"))
    pauses = count(1)

    def change() -> None:
        if next(pauses) == pause:
            editions.carry_out(db, planned(db, domain, some("second", number)), 2.0)

    slowly(change)
    with pytest.raises(Refused, match="somebody else changed the list of gold.example meanwhile; nothing was done"):
        editions.carry_out(db, first, 1.0)
    assert seen(db, domain) == {entry.local for entry in some("second", number)}
    assert rows(db) == number


def test_who_is_refused_leaves_alone_what_the_other_writes(
    db: Database, domain: Domain, slowly: Callable[[Callable[[], None]], None]
) -> None:
    """The first gives up, and clears away its own, while the second is still writing."""
    first, second = planned(db, domain, some("first")), planned(db, domain, some("second"))
    other = threading.Thread(target=editions.carry_out, args=(db, second, 2.0))
    writes, given_up = threading.Event(), threading.Event()

    def pause() -> None:
        if threading.current_thread() is other:
            if rows(db, "second"):
                writes.set()
                given_up.wait(60)
        elif not writes.is_set():
            other.start()
            writes.wait(60)

    slowly(pause)
    with pytest.raises(Refused, match="somebody else"):
        editions.carry_out(db, first, 1.0)
    given_up.set()
    other.join()
    assert seen(db, domain) == {entry.local for entry in some("second")}


def test_a_plan_for_a_list_that_has_changed_since_is_refused(db: Database, domain: Domain) -> None:
    """What somebody read and thought about is what is changed, or nothing is."""
    plan = planned(db, domain, some("a", 2))
    with db.write() as connection:
        lists.add(connection, domain, ["info"], 1.0)
    with pytest.raises(Refused, match="somebody else"):
        editions.carry_out(db, plan, 2.0)
    assert seen(db, domain) == {"info"}


def test_a_domain_that_goes_takes_its_new_list_along(
    db: Database, domain: Domain, slowly: Callable[[Callable[[], None]], None]
) -> None:
    """Removed while its list is written: that is refused, and nothing is left for the next domain of that number."""

    def remove() -> None:
        with db.write() as connection:
            if store.find_domain(connection, domain.name):
                store.remove_domain(connection, domain.name)

    slowly(remove)
    plan = planned(db, domain, some("a"))
    for wanted in (plan, plan, planned(db, domain, some("a", 1))):
        with pytest.raises(NotFound, match="no Gold domain is named gold.example"):
            editions.carry_out(db, wanted, 1.0)
    assert rows(db) == 0


def test_who_is_killed_in_the_middle_has_changed_nothing(db: Database, domain: Domain, slowly: object) -> None:
    """The old list counts; what was written goes with the next long change."""
    editions.carry_out(db, planned(db, domain, some("a")), 1.0)
    killed = subprocess.run([sys.executable, "-c", KILLED, db.url], timeout=60)
    assert killed.returncode == 9
    assert seen(db, domain) == {entry.local for entry in some("a")}
    assert rows(db) > 23
    editions.carry_out(db, planned(db, domain, some("b")), 3.0)
    assert seen(db, domain) == {entry.local for entry in some("b")}
    assert rows(db) == 23
