"""The moves between the states of a recipient."""

from __future__ import annotations

from relay.queue.states import MOVES, WAITING, State


def test_every_state_says_where_it_may_go() -> None:
    """No state is forgotten in the table of moves."""
    assert set(MOVES) == set(State)


def test_only_what_waits_can_move() -> None:
    """A final state stays: nothing that was delivered, bounced, expired or dropped comes back."""
    assert {state for state, moves in MOVES.items() if moves} == set(WAITING)


def test_held_mail_never_expires() -> None:
    """What is held goes back to queued, is dropped, bounces once judged, or turns out to have been delivered."""
    assert State.EXPIRED not in MOVES[State.HELD]


def test_a_proof_is_outside_of_all_of_it() -> None:
    """No mail becomes a proof, and no proof becomes mail."""
    assert not MOVES[State.PROOF]
    assert not any(State.PROOF in moves for moves in MOVES.values())
