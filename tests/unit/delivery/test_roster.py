"""Which connections take the newest mail first, whatever their number."""

from __future__ import annotations

import pytest

from relay.delivery.roster import NEWEST, is_lane, takes_newest


def newest(slots: list[int]) -> list[int]:
    """Of ten rounds, in which each connection takes one message in turn, the connections that took the newest."""
    lanes = sum(map(is_lane, slots))
    turns = [slot for _ in range(10 * NEWEST) for slot in slots]
    return [slot for turn, slot in enumerate(turns) if takes_newest(slot, lanes, turn)]


@pytest.mark.parametrize("width", range(1, NEWEST))
def test_of_few_connections_every_fourth_message_is_the_newest(width: int) -> None:
    """Without a lane of its own fresh mail has a quarter of the messages."""
    assert len(newest(list(range(width)))) == 10 * width


@pytest.mark.parametrize("width", range(NEWEST, 21))
def test_of_many_connections_every_fourth_is_a_lane(width: int) -> None:
    """These take nothing but the newest, the others never do: a quarter of the connections, rounded down."""
    lanes = set(newest(list(range(width))))
    assert lanes == set(range(NEWEST - 1, width, NEWEST))
    assert len(lanes) == width // NEWEST
    assert len(newest(list(range(width)))) == 10 * NEWEST * len(lanes)


@pytest.mark.parametrize("slots", [[0, 1, 2, 4, 5], [0, 1, 2], [4, 5, 6]])
def test_where_the_lane_has_gone_home_no_connection_is_left_out(slots: list[int]) -> None:
    """Until another takes its place, all of them carry the newest now and then."""
    assert len(newest(slots)) == 10 * len(slots)
    assert len(set(newest(slots))) == len(slots) or len(slots) % NEWEST == 0
