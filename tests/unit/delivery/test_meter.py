"""How fast a drain is, by its own account, and what it says is in its way."""

from __future__ import annotations

import dataclasses

from relay.appliances.progress import Handback
from relay.delivery.meter import Meter, Signs, merged
from relay.delivery.pace import Pace
from relay.mail import Reply
from relay.queue.model import Outcome
from relay.queue.states import Reason, State
from relay.queue.tables import PLACES

BEGAN = 1_800_000_000.0
OK = Reply(250, "2.0.0", "queued")
LATER = Reply(451, "4.7.1", "greylisted")
NO = Reply(550, "5.1.1", "no such user")
WIDE = Signs(Pace(False, 20, 20, 20, None, ""), None, False)
BEGINNING = Pace(False, 1, 1, 20, None, "")


def outcome(at: float, state: State = State.DELIVERED, reply: Reply = OK, recipient: int = PLACES) -> Outcome:
    return Outcome(recipient // PLACES, recipient, state, reply, at, Reason.FAILED if state is State.HELD else None)


def fed(per_second: int, seconds: int, state: State = State.DELIVERED, reply: Reply = OK) -> Meter:
    meter = Meter(BEGAN)
    for second in range(seconds):
        for _ in range(per_second):
            meter.note(7, outcome(BEGAN + second, state, reply))
    return meter


def test_the_rate_is_that_of_the_last_minute() -> None:
    """What went fast an hour ago says nothing of now."""
    meter = fed(100, 30)
    assert meter.rate(BEGAN + 30) == 100
    assert meter.rate(BEGAN + 60) == 3000 * 29 / 30 / 60  # the first second has passed
    for second in range(600, 660):
        meter.note(7, outcome(BEGAN + second))
    assert round(meter.rate(BEGAN + 659.5), 2) == 1.0
    assert meter.rate(BEGAN + 720) == 0


def test_what_is_put_off_gets_nowhere() -> None:
    """It has an outcome, and is still here."""
    meter = fed(10, 30, State.QUEUED, LATER)
    assert meter.rate(BEGAN + 30) == 0
    assert meter.moved_at == BEGAN
    assert meter.why(WIDE, BEGAN + 30) == "the primary puts 300 of 300 recipients off: 451 4.7.1 greylisted"


def test_what_is_in_the_way_is_named_the_weightiest_first() -> None:
    """No more than two, none where all is well, and nothing that is over."""
    assert fed(10, 30).why(WIDE, BEGAN + 30) == ""
    meter = fed(10, 30, State.HELD, NO)
    meter.trouble("192.0.2.25:25: 421 4.7.0 too many", BEGAN + 20)
    full = "192.0.2.25:25: 1 of 20 connections, because of 421 4.7.0 too many"
    narrow = Signs(dataclasses.replace(BEGINNING, why=full), 12.2, True)
    assert meter.why(narrow, BEGAN + 30) == (
        "the primary refuses 300 of 300 recipients: 550 5.1.1 no such user; 192.0.2.25:25: 421 4.7.0 too many"
    )
    assert meter.why(narrow, BEGAN + 200) == (
        "the primary takes 12 s for a reply; this node's disk is slow to write what was delivered"
    )
    assert meter.why(Signs(BEGINNING, 0.1, False), BEGAN + 200) == "1 of 20 connections so far"
    assert meter.why(Signs(narrow.pace, 0.1, False), BEGAN + 200) == full


def test_an_operators_ceiling_is_named_where_it_holds_the_drain_back() -> None:
    """Not where the drain is far below it."""
    meter, limited = fed(10, 30), dataclasses.replace(WIDE.pace, max_rate=10.0)
    assert meter.why(Signs(limited, None, False), BEGAN + 30) == "its operator allows 10 messages a second"
    assert meter.why(Signs(dataclasses.replace(limited, max_rate=20.0), None, False), BEGAN + 30) == ""


def test_an_outage_gets_its_share_once() -> None:
    """Messages by their first recipient, in seconds from the beginning to the last of them; the peak over five."""
    meter = Meter(BEGAN)
    for place in range(3):
        meter.note(7, outcome(BEGAN + 2.5, recipient=4 * PLACES + place))
    for number in range(100):
        meter.note(7, outcome(BEGAN + 10, recipient=(5 + number) * PLACES))
    meter.note(8, outcome(BEGAN + 10, recipient=900 * PLACES))
    meter.note(None, outcome(BEGAN + 10, recipient=901 * PLACES))
    meter.note(7, outcome(BEGAN + 11, State.QUEUED, LATER, recipient=902 * PLACES))
    found = meter.take(BEGAN + 12)
    assert found == {7: Handback(101, 103, 10.0, 102 / 5), 8: Handback(1, 1, 10.0, 102 / 5)}
    assert meter.take(BEGAN + 13) == {}
    meter.note(7, outcome(BEGAN + 14, recipient=903 * PLACES))
    assert meter.take(BEGAN + 15)[7] == Handback(1, 1, 4.0, 103 / 5)


def test_two_drains_of_an_outage_make_one() -> None:
    """Counts add up; the peak is that of the faster."""
    assert merged(Handback(1, 2, 3.0, 4.0), Handback(10, 20, 30.0, 3.0)) == Handback(11, 22, 33.0, 4.0)
