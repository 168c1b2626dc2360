"""Which programs may go on with which database."""

from __future__ import annotations

import pytest

from relay.revisions import floor, left_behind

KNOWN = ("1_a", "2_b", "3_c", "4_d")


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ([("1_a", "1_a")], "1_a"),
        ([("1_a", "1_a"), ("2_b", "1_a")], "1_a"),  # expands
        ([("1_a", "1_a"), ("2_b", "1_a"), ("3_c", "3_c")], "3_c"),  # can't be lived with
        ([("1_a", "1_a"), ("2_b", "1_a"), ("3_c", "2_b")], "2_b"),  # contracts what 2 has stopped to use
        ([("1_a", "1_a"), ("2_b", "1_a"), ("3_c", "3_c"), ("4_d", "1_a")], "3_c"),  # what is gone stays gone
    ],
)
def test_the_floor_is_what_all_can_live_with(declared: list[tuple[str, str]], expected: str) -> None:
    """The newest revision that any of the migrations asks for."""
    assert floor(declared) == expected


def test_a_migration_cannot_ask_for_what_is_not_there() -> None:
    """A revision that is mistyped, or comes later."""
    with pytest.raises(ValueError, match="2_b says compatible_from '3_c', which is no revision before it"):
        floor([("1_a", "1_a"), ("2_b", "3_c"), ("3_c", "3_c")])


@pytest.mark.parametrize(
    ("revision", "behind"), [("1_a", True), ("2_b", False), ("4_d", False), (None, True), ("9_z", True)]
)
def test_who_is_left_behind(revision: str | None, behind: bool) -> None:
    """Programs from before the floor, and those of which nobody knows."""
    assert left_behind(revision, "2_b", KNOWN) is behind
