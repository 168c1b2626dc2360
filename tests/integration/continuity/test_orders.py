"""What operators order, and what the history keeps of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

from relay.appliances import facts, store
from relay.continuity import orders
from relay.continuity.store import list_history
from relay.errors import NotFound, Refused
from tests.support.database import make_database

pytestmark = pytest.mark.usefixtures("engine")


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    database = make_database(tmp_path)
    with database.write() as connection:
        store.add_appliance(connection, 1.0, name="acme")
        store.add_appliance(connection, 1.0, name="other")
        yield connection
    database.close()


def test_an_order_is_recorded_with_its_name(connection: Connection) -> None:
    """With no outage it is armed for the next; the facts and the history know it."""
    version = facts.version(connection)
    ordered = orders.activate(connection, "acme", "dana", "they asked", 5.0)
    assert (ordered.order, ordered.armed) == ("activate", True)
    present = facts.get_continuity(connection, ordered.appliance.id)
    assert present is not None
    assert (present.order, present.order_by, present.order_at) == ("activate", "dana", 5.0)
    assert facts.version(connection) > version
    (line,) = list_history(connection)
    assert line.facts() == {
        "id": 1,
        "at": "1970-01-01T00:00:05Z",
        "appliance": "acme",
        "outage": None,
        "actor": "dana",
        "from": "",
        "to": "activate",
        "reason": "they asked",
    }


def test_the_same_order_twice_is_one(connection: Connection) -> None:
    """Saying it again changes nothing; saying the opposite does."""
    orders.activate(connection, "acme", "dana", "", 5.0)
    orders.activate(connection, "acme", "dana", "", 6.0)
    orders.deactivate(connection, "acme", "noor", "", 7.0)
    assert [(line.actor, line.before, line.after) for line in list_history(connection)] == [
        ("noor", "activate", "deactivate"),
        ("dana", "", "activate"),
    ]


def test_during_an_outage_an_order_is_not_armed_but_carried_out(connection: Connection) -> None:
    """And its history line belongs to the outage."""
    appliance = store.get_appliance(connection, "acme")
    number = facts.begin_outage(connection, appliance.id, 2.0, "no connection")
    present = facts.get_continuity(connection, appliance.id)
    assert present is not None
    facts.set_continuity(connection, appliance.id, type(present)(present.state, 2.0, outage_id=number))
    assert not orders.deactivate(connection, "acme", "dana", "", 5.0).armed
    assert list_history(connection)[0].outage_id == number


def test_an_order_after_the_return_is_armed_for_the_next_outage(connection: Connection) -> None:
    """While mail is still handed back the appliance is up; the same words as during the outage mean the next one."""
    appliance = store.get_appliance(connection, "acme")
    number = facts.begin_outage(connection, appliance.id, 2.0, "no connection")
    present = facts.get_continuity(connection, appliance.id)
    assert present is not None
    facts.set_continuity(connection, appliance.id, type(present)(present.state, 2.0, outage_id=number))
    assert not orders.activate(connection, "acme", "dana", "", 5.0).armed
    facts.mark_outage(connection, number, returned_at=6.0)
    assert orders.activate(connection, "acme", "dana", "", 7.0).armed
    renewed = facts.get_continuity(connection, appliance.id)
    assert renewed is not None
    assert renewed.order_at == 7.0


def test_what_cannot_be_ordered_is_refused(connection: Connection) -> None:
    """An appliance that isn't there, and nobody's name."""
    with pytest.raises(NotFound, match="no appliance is named nowhere"):
        orders.activate(connection, "nowhere", "dana", "", 5.0)
    with pytest.raises(Refused, match="say who you are"):
        orders.activate(connection, "acme", " ", "", 5.0)


def test_the_history_is_read_newest_first(connection: Connection) -> None:
    """Of one appliance or of all, so many lines."""
    for moment in range(6):
        verb = orders.activate if moment % 2 else orders.deactivate
        verb(connection, "acme" if moment < 4 else "other", "dana", str(moment), float(moment))
    assert [line.reason for line in list_history(connection, limit=4)] == ["5", "4", "3", "2"]
    other = store.get_appliance(connection, "other").id
    assert [line.reason for line in list_history(connection, other)] == ["5", "4"]
