"""What several nodes see of one appliance."""

from __future__ import annotations

import pytest

from relay.watch.vantage import PATIENCE, Opinion, Ruling, rule

LATE = PATIENCE
WAIT, DOWN, ALONE = Opinion(Ruling.WAIT), Opinion(Ruling.DOWN), Opinion(Ruling.ALONE)


@pytest.mark.parametrize(
    ("asked", "reaches", "waited", "expected"),
    [
        ("bc", {}, 0.0, WAIT),
        ("bc", {"b": False}, 1.0, WAIT),  # c may still reach it
        ("bc", {"b": False, "c": False}, 1.0, DOWN),
        ("bc", {"c": True}, 1.0, Opinion(Ruling.ELSEWHERE, ("c",))),  # b needn't be waited for
        ("bc", {"b": True, "c": True}, 1.0, Opinion(Ruling.ELSEWHERE, ("b", "c"))),
        ("bc", {"b": False, "c": True}, LATE, Opinion(Ruling.ELSEWHERE, ("c",))),
        ("bc", {"b": False}, LATE, DOWN),  # c hangs, and doesn't count
        ("bc", {}, LATE, ALONE),
        ("", {}, 0.0, ALONE),  # those who were asked have died
        ("b", {"b": False, "d": False}, 0.0, DOWN),
        ("bc", {"b": None, "c": None}, 1.0, ALONE),  # both may be cut off themselves
        ("bc", {"b": None, "c": False}, 1.0, DOWN),
        ("bc", {"b": None}, 1.0, WAIT),
    ],
)
def test_what_is_made_of_it(asked: str, reaches: dict[str, bool | None], waited: float, expected: Opinion) -> None:
    """One that reaches it settles it; else all have to say so, or the time is up."""
    assert rule(asked, reaches, waited) == expected
