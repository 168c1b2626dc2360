"""The width of a drain: canary, doubling, halving."""

from __future__ import annotations

from relay.delivery.ramp import ROUND, Ramp


def after(ramp: Ramp, messages: int) -> Ramp:
    for _ in range(messages):
        ramp = ramp.taken()
    return ramp


def widths(ramp: Ramp, rounds: int) -> list[int]:
    """The width after each clean round."""
    found = []
    for _ in range(rounds):
        ramp = after(ramp, ROUND * ramp.width)
        found.append(ramp.width)
    return found


def test_the_canary_is_one_message_on_one_connection() -> None:
    """A primary that has just answered gets one message; the first that is taken ends that."""
    ramp = Ramp.begin(20, canary=True)
    assert (ramp.canary, ramp.width) == (True, 1)
    assert (ramp.taken().canary, ramp.taken().width) == (False, 1)


def test_each_clean_round_doubles_up_to_the_limit() -> None:
    """1, 2, 4, 8, 16, and no more than the limit."""
    assert widths(Ramp.begin(20, canary=False), 6) == [2, 4, 8, 16, 20, 20]


def test_a_round_is_some_messages_on_each_connection() -> None:
    """One message less than a round leaves the width as it is."""
    ramp = after(Ramp.begin(20, canary=False), ROUND)
    assert ramp.width == 2
    assert after(ramp, 2 * ROUND - 1).width == 2
    assert after(ramp, 2 * ROUND).width == 4


def test_a_push_back_halves_and_never_closes_the_door() -> None:
    """421 halves the width, down to one connection."""
    ramp = Ramp.begin(20, canary=False, gentle=False)
    found = []
    for _ in range(6):
        ramp = ramp.pushed_back(ramp.era)
        found.append(ramp.width)
    assert found == [10, 5, 2, 1, 1, 1]


def test_several_push_backs_of_one_era_count_once() -> None:
    """Eight connections that are refused together halve the width once, not eight times."""
    ramp = Ramp.begin(16, canary=False, gentle=False)
    era = ramp.era
    for _ in range(8):
        ramp = ramp.pushed_back(era)
    assert ramp.width == 8


def test_past_the_width_that_was_too_much_it_grows_by_one() -> None:
    """The limit of a primary is approached slowly, not run into again and again."""
    ramp = Ramp.begin(20, canary=False, gentle=False).pushed_back(0)
    assert widths(ramp, 3) == [11, 12, 13]
    assert widths(ramp.pushed_back(1).pushed_back(2), 5) == [3, 4, 5, 6, 7]


def test_without_the_ramp_the_limit_is_open_at_once_or_after_the_canary() -> None:
    """[delivery] ramp = false spares the doubling, not the canary."""
    assert Ramp.begin(20, canary=False, gentle=False).width == 20
    canary = Ramp.begin(20, canary=True, gentle=False)
    assert canary.width == 1
    assert canary.taken().width == 20
    assert canary.proven().width == 20
