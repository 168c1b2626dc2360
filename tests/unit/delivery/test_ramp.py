"""The width of a host: doubling, halving, and what slow replies mean."""

from __future__ import annotations

import pytest

from relay.delivery.ramp import ROUND, Ramp, too_slow

QUICK = (0.002,) * 8


def widths(ramp: Ramp, rounds: int, seconds: tuple[float, ...] = QUICK) -> list[int]:
    """The width after each round."""
    found = []
    for _ in range(rounds):
        ramp = ramp.after_round(seconds)
        found.append(ramp.width)
    return found


def test_each_clean_round_doubles_up_to_the_limit() -> None:
    """1, 2, 4, 8, 16, and no more than the limit."""
    assert widths(Ramp.begin(20), 6) == [2, 4, 8, 16, 20, 20]


def test_a_round_is_some_messages_on_each_connection() -> None:
    """The wider, the more answers it takes to be sure."""
    assert [Ramp.begin(20, gentle=False).round, Ramp.begin(20).round] == [20 * ROUND, ROUND]


def test_a_push_back_halves_and_never_closes_the_door() -> None:
    """421 halves the width, down to one connection, and says why."""
    ramp = Ramp.begin(20, gentle=False)
    found = []
    for number in range(6):
        ramp = ramp.pushed_back(ramp.era, f"421 number {number}")
        found.append((ramp.width, ramp.why, ramp.full))
    assert [width for width, _, _ in found] == [10, 5, 2, 1, 1, 1]
    assert found[2] == (2, "421 number 2", True)


def test_several_push_backs_of_one_era_count_once() -> None:
    """Eight connections that are refused together halve the width once, not eight times."""
    ramp = Ramp.begin(16, gentle=False)
    era = ramp.era
    for _ in range(8):
        ramp = ramp.pushed_back(era, "421")
    assert ramp.width == 8


def test_past_the_width_that_was_too_much_it_grows_by_one() -> None:
    """The limit of a primary is approached slowly, not run into again and again."""
    ramp = Ramp.begin(20, gentle=False).pushed_back(0, "421")
    assert widths(ramp, 3) == [11, 12, 13]
    assert widths(ramp.pushed_back(1, "421").pushed_back(2, "421"), 5) == [3, 4, 5, 6, 7]


def test_at_the_limit_again_nothing_is_said_any_more() -> None:
    """What was too much once, and is taken now, is no news."""
    ramp = Ramp.begin(4, gentle=False).pushed_back(0, "421").after_round(QUICK)
    assert (ramp.width, ramp.why, ramp.full) == (3, "421", True)
    ramp = ramp.after_round(QUICK)
    assert (ramp.width, ramp.why, ramp.full) == (4, "", False)


def test_a_host_that_takes_nobody_begins_anew() -> None:
    """After a restart in the middle of a drain it is as gentle as at first, and careful above half of what was."""
    ramp = Ramp.begin(20).after_round(QUICK).after_round(QUICK).after_round(QUICK).lost(0, "connection refused")
    assert (ramp.width, ramp.quickest) == (1, None)
    assert widths(ramp, 4) == [2, 4, 5, 6]
    assert ramp.lost(0, "connection refused") == ramp


def test_without_the_ramp_the_limit_is_open_at_once() -> None:
    """[delivery] ramp = false spares the doubling, not the halving."""
    assert Ramp.begin(20, gentle=False).width == 20
    assert Ramp.begin(20, gentle=False).lost(0, "connection refused").width == 10


@pytest.mark.parametrize(
    ("pace", "quickest", "slow"),
    [
        (None, 0.1, False),
        (0.5, None, False),
        (0.240, 0.002, False),  # a busy loopback: a hundred times slower, and nobody would notice
        (0.260, 0.002, True),
        (2.9, 1.0, False),  # slow, but steadily so
        (3.1, 1.0, True),
        (30.0, 30.0, False),
    ],
)
def test_slow_is_three_times_the_best_and_noticeable(pace: float | None, quickest: float | None, slow: bool) -> None:
    """Neither a steadily slow primary nor the noise of a quick one is punished."""
    assert too_slow(pace, quickest) is slow


def test_replies_that_grow_with_the_connections_halve_the_width() -> None:
    """A primary that works on one message at a time isn't pressed beyond what it does."""
    ramp = Ramp.begin(16)
    found = []
    for _ in range(12):
        ramp = ramp.after_round((0.2 * ramp.width,) * 8)
        found.append(ramp.width)
    assert found == [2, 4, 2, 3, 4, 2, 3, 4, 2, 3, 4, 2]
    assert ramp.why == "replies took 0.8 s over 4 connections, 0.2 s in its best time"
    assert not ramp.full  # it never said so: other hosts don't get its mail


def test_a_slow_but_steady_primary_gets_the_whole_ramp() -> None:
    """Two seconds for each message is how it is, and no sign of anything."""
    assert widths(Ramp.begin(20), 5, (2.0, 1.8, 2.2, 2.0)) == [2, 4, 8, 16, 20]


def test_a_cold_start_is_not_the_measure() -> None:
    """A primary whose first replies are slow is measured by what it does once it is warm."""
    ramp = Ramp.begin(16).after_round((3.0,) * 4).after_round((0.2,) * 8)
    assert (ramp.width, ramp.quickest) == (4, 0.2)
    assert ramp.after_round((2.0,) * 16).width == 2


def test_a_few_replies_say_nothing() -> None:
    """A round with two replies (the others were greylisted, or large) is a clean one."""
    ramp = Ramp.begin(16).after_round(QUICK).after_round((9.0, 9.0))
    assert ramp.width == 4


def test_one_slow_message_in_a_round_says_nothing() -> None:
    """A single letter that takes the filter long isn't the primary's state."""
    assert Ramp.begin(16).after_round(QUICK).after_round((*QUICK[:5], 60.0, 60.0)).width == 4


def test_an_operator_s_limit_holds_at_once() -> None:
    """Lowered it cuts the width; raised it lets the ramp go on, from what was too much before by ones."""
    ramp = Ramp.begin(20, gentle=False)
    assert ramp.limited(5).width == 5
    assert ramp.limited(5).limited(30).width == 30
    assert widths(Ramp.begin(2).limited(8), 4) == [2, 4, 8, 8]
    careful = ramp.pushed_back(0, "421").limited(40)
    assert (careful.width, widths(careful, 2)) == (10, [11, 12])
