"""What goes out together: news one by one, what has waited as one message."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from relay.tickets.people.batch import STALE, Notice, batch_of

NOW = 1_000_000.0


def notice(number: int, kind: str = "opened", **more: Any) -> Notice:
    values = {"created_at": NOW, "due_at": NOW, "batch": None, "attempts": 0, "next_attempt_at": NOW, **more}
    return Notice(number, 1, "oncall", kind, {}, last_error=None, **values)


def numbers(waiting: list[Notice], now: float = NOW) -> list[int]:
    return [one.id for one in batch_of(waiting, now)]


def test_news_goes_one_by_one_and_in_order() -> None:
    """P1, then P3, then resolved: three messages while they are news."""
    assert numbers([notice(1), notice(2, "lowered"), notice(3, "resolved")]) == [1]


def test_what_waited_for_the_hours_is_one_message() -> None:
    """In the morning of all that happened at night, ended or not, one message tells; before that none."""
    night = [notice(1, due_at=NOW + 600), notice(2, "resolved", due_at=NOW + 600)]
    assert numbers(night) == []
    assert numbers(night, NOW + 600) == [1, 2]


def test_what_is_due_takes_along_what_still_waits() -> None:
    """A ticket that is raised at night is told with its beginning, which had waited for the morning."""
    assert numbers([notice(1, due_at=NOW + 600), notice(2, "raised")]) == [1, 2]


def test_who_couldnt_be_reached_gets_one_message_later() -> None:
    """After a failure everything that has come since goes along, at the time of the next try and not before."""
    failed = replace(notice(1), attempts=2, next_attempt_at=NOW + 20)
    assert numbers([failed, notice(2, "lowered")]) == []
    assert numbers([failed, notice(2, "lowered")], NOW + 20) == [1, 2]


def test_what_a_node_didnt_tell_while_it_was_off_is_one_message() -> None:
    """After a quarter of an hour nothing is news any more."""
    assert numbers([notice(1), notice(2, "lowered")], NOW + STALE + 1) == [1, 2]


def test_what_was_on_its_way_goes_again_alone() -> None:
    """After a crash the same message comes again, with nothing added, so that its key tells the repetition."""
    assert numbers([notice(1, batch=1), notice(2, "lowered"), notice(3, "resolved")]) == [1]


def test_two_clocks_that_reach_their_mark_together_are_one_message() -> None:
    """Half the time to acknowledge and half the time to respond are over at the same moment."""
    assert numbers([notice(1, "warning-50"), notice(2, "warning-50"), notice(3, "warning-75")]) == [1, 2]
    assert numbers([notice(1, "opened"), notice(2, "opened")]) == [1]
