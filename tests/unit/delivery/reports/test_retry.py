"""What an attempt to send a report means for it."""

from __future__ import annotations

from relay.delivery.reports.retry import LIFETIME, Again, Dropped, Sent, after_attempt
from relay.mail import Reply
from relay.queue.reports import Report

OK = Reply(250, "2.0.0", "Taken")
LATER = Reply(450, "4.2.1", "Later")
NO = Reply(550, "5.1.1", "Nobody")


def report(attempts: int) -> Report:
    """Made at 0, and tried so often."""
    return Report(
        1, 1, 1, "ann@sender.example", "sender.example", "failed", ("u@acme.example",), 0.0, attempts, 0.0, ""
    )


def test_what_is_taken_is_done_and_what_is_refused_for_good_is_dropped() -> None:
    """There is nobody to report the failure of a report to."""
    assert after_attempt(report(0), OK, 1.0, 0.0, settling=False) == Sent()
    assert after_attempt(report(0), NO, 1.0, 0.0, settling=False) == Dropped("refused for good")


def test_what_is_put_off_is_tried_again_later_each_time_for_five_days() -> None:
    """Minutes at first, two hours in the end; and never after five days."""
    now, attempts, waits = 0.0, 0, []
    while isinstance(what := after_attempt(report(attempts), LATER, now, 0.0, settling=False), Again):
        waits.append(what.at - now)
        now, attempts = what.at, attempts + 1
    assert waits[:3] == [120.0, 300.0, 600.0] and waits == sorted(waits) and waits[-1] == 7200.0
    assert what == Dropped("tried for five days")
    assert LIFETIME - 7200 < now <= LIFETIME


def test_nothing_is_too_old_while_the_clock_is_in_doubt() -> None:
    """It is tried again instead."""
    assert isinstance(after_attempt(report(3), LATER, 10 * LIFETIME, 0.0, settling=True), Again)
