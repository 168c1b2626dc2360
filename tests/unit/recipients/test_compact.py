"""A set of texts that takes little room."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relay.recipients.compact import Compact


@given(st.lists(st.text()), st.lists(st.text()))
def test_it_is_a_set(members: list[str], others: list[str]) -> None:
    """Whoever is in it is found, each once; others are not."""
    compact = Compact(members)
    assert len(compact) == len(set(members))
    assert all(text in compact for text in members)
    assert not any(text in compact for text in others if text not in members)


def test_it_takes_little_room() -> None:
    """No more than 22 octets for a text, of any length."""
    for number in (10, 1_000, 3_071, 3_073, 50_000):
        compact = Compact([f"{place}" * 20 for place in range(number)])
        assert number * 8 < compact._places.itemsize * len(compact._places) < number * 22
