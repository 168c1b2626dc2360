"""What was in flight when a process died, and how often."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay.delivery import poison
from relay.delivery.poison import SLOTS, InFlight
from tests.support.database import make_database

pytestmark = pytest.mark.usefixtures("engine")


def test_what_was_in_flight_is_found_by_the_next_process(tmp_path: Path) -> None:
    """A process that dies between add() and discard() leaves the numbers of its messages, once."""
    dying = InFlight(tmp_path / "inflight")
    for number in (11, 12, 13):
        dying.add(number)
    dying.discard(12)
    after = InFlight(tmp_path / "inflight")
    assert dying.left_over == frozenset()
    assert after.left_over == {11, 13}
    assert InFlight(tmp_path / "inflight").left_over == frozenset()


def test_more_than_there_are_slots_for_goes_out_unnoted(tmp_path: Path) -> None:
    """The file is bounded; slots are used again."""
    noted = InFlight(tmp_path / "inflight")
    for number in range(1, SLOTS + 10):
        noted.add(number)
    for number in range(1, SLOTS + 10):
        noted.discard(number)
    noted.add(5)
    assert InFlight(tmp_path / "inflight").left_over == {5}


def test_breakdowns_are_counted_and_forgotten(tmp_path: Path) -> None:
    """Each booking counts one more; an outcome, or a month, ends the count."""
    db = make_database(tmp_path)
    with db.write() as connection:
        poison.book(connection, [11, 12], 1000.0)
        poison.book(connection, [11], 2000.0)
        assert poison.load(connection, 2000.0) == {11: 2, 12: 1}
        poison.forget(connection, {12})
        assert poison.load(connection, 2000.0) == {11: 2}
        assert poison.load(connection, 2001.0 + poison.FORGET_AFTER) == {}
    db.close()
