"""How long and how much a session may try."""

from __future__ import annotations

from relay.edge.patience import MOST_DEFERRED, MOST_JUNK, SLOWEST, TIMEOUTS, Patience


def test_a_client_that_is_silent_is_left() -> None:
    """After the length of the time-out, counted from when we began to wait."""
    patience = Patience(300, most_errors=20, now=0)
    patience.wait(100)
    assert not patience.over(400)
    assert patience.over(401)


def test_a_session_that_gets_nowhere_ends() -> None:
    """However busy it is; a message begins its time anew, and content that comes prolongs it."""
    patience = Patience(300, most_errors=20, now=0)
    patience.wait(300 * TIMEOUTS)
    assert not patience.over(300 * TIMEOUTS)
    assert patience.over(300 * TIMEOUTS + 1)
    patience.progress(10 * SLOWEST)
    assert not patience.over(300 * TIMEOUTS + 10)
    patience.renew(300 * TIMEOUTS)
    assert not patience.over(300 * TIMEOUTS + 300)


def test_errors_and_junk_are_bounded() -> None:
    """Until a message is taken."""
    patience = Patience(300, most_errors=20, now=0)
    for _ in range(20):
        assert not patience.lost
        patience.error()
    assert patience.lost
    assert [patience.junk() for _ in range(MOST_JUNK + 1)] == [True] * MOST_JUNK + [False]
    patience.renew(0)
    assert not patience.lost
    assert patience.junk()


def test_a_client_may_be_told_to_come_back_later_very_often() -> None:
    """A thousand times; after that each time is an error."""
    patience = Patience(300, most_errors=20, now=0)
    for _ in range(MOST_DEFERRED + 19):
        patience.deferral()
    assert not patience.lost
    patience.deferral()
    assert patience.lost
    patience.renew(0)
    patience.deferral()
    assert not patience.lost
