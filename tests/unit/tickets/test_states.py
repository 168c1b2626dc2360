"""The table of moves, flapping, and how slowly a failing helpdesk is asked again."""

from __future__ import annotations

from relay.tickets.contact import delay
from relay.tickets.flapping import keep_open_until
from relay.tickets.states import MOVES, UNRESOLVED, Status, leading_to


def test_every_status_can_be_left_and_all_but_resolved_can_be_resolved() -> None:
    """There is no dead end, and no way from resolved but to be reopened."""
    assert set(MOVES) == set(Status)
    assert all(MOVES.values())
    assert leading_to(Status.RESOLVED) == UNRESOLVED
    assert MOVES[Status.RESOLVED] == {Status.OPEN}
    assert leading_to(Status.RESPONDED) == {Status.ACKNOWLEDGED}


def test_three_times_down_within_an_hour_is_flapping() -> None:
    """The third failure within an hour keeps the ticket open until half an hour after the appliance came back."""
    assert keep_open_until([0, 1800, 3600], quiet_since=3900) == 3900 + 1800
    assert keep_open_until([3600, 0, 1800], quiet_since=3900) == 3900 + 1800
    assert keep_open_until([0, 1800, 3601], quiet_since=3900) is None
    assert keep_open_until([0, 60], quiet_since=100) is None
    assert keep_open_until([], quiet_since=0) is None
    assert keep_open_until([0, 10, 20, 9000], quiet_since=9100) is None


def test_a_failing_helpdesk_is_asked_ever_more_slowly_but_for_ever() -> None:
    """The pauses double from five seconds to five minutes, also after weeks of failures."""
    assert [delay(attempts) for attempts in (1, 2, 3, 6, 7, 100_000)] == [5, 10, 20, 160, 300, 300]
    assert delay(3, 0.5) == 10, "many come back one by one"
