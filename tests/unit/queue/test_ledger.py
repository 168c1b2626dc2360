"""What one transaction adds to the ledger."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relay.queue.ledger import Deltas, Ledger
from relay.queue.states import MOVES, WAITING, State

MOVE = st.sampled_from([(before, after) for before in WAITING for after in MOVES[before]])


@given(
    st.integers(0, 50), st.lists(MOVE, max_size=50), st.lists(st.tuples(st.sampled_from(WAITING), st.integers(0, 3)))
)
def test_no_move_can_unbalance_it(
    accepted: int, moves: list[tuple[State, State]], recounts: list[tuple[State, int]]
) -> None:
    """Whatever is accepted, moved and recounted, each outage's sums balance by themselves."""
    deltas = Deltas()
    if accepted:
        deltas.accepted(1, "acme.example", 0, accepted, 1000, 0.0)
    for before, after in moves:
        deltas.moved(1, "acme.example", 0, before, after)
    for state, outage in recounts:
        deltas.recounted("acme.example", state, 0, outage)
    for sums in deltas.ledger.values():
        assert Ledger("acme.example", *sums).balanced


def test_a_ledger_that_lost_a_recipient_is_not_balanced() -> None:
    """Two accepted and one delivered leave one that nobody can account for."""
    assert not Ledger("acme.example", 2, 1, 0, 0, 0, 0, 0).balanced
