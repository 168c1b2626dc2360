"""The states of a recipient, and every move between them that is legal.

A recipient *waits* while it is queued or held; every other state is final, and a message none of whose recipients
waits any more is removed. The table MOVES is what the statements in this room enforce: whoever asks for a move that
isn't in it changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class State(StrEnum):
    """Where a recipient stands. ``queued``: deferred and in flight included. ``proof``: the loop proof's own."""

    QUEUED = "queued"
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    EXPIRED = "expired"
    DROPPED = "dropped"
    HELD = "held"
    PROOF = "proof"


class Reason(StrEnum):
    """Why a recipient is held."""

    OPERATOR = "operator"
    FAILED = "failed"
    BREAKER = "breaker"
    QUARANTINED = "quarantined"
    POISON = "poison"


WAITING = (State.QUEUED, State.HELD)

MOVES: Mapping[State, frozenset[State]] = {
    # To itself: a deferral, a new retry time.
    State.QUEUED: frozenset({State.QUEUED, State.DELIVERED, State.BOUNCED, State.EXPIRED, State.DROPPED, State.HELD}),
    # To itself: another reason (breaker becomes failed). To bounced: what is held as failed has been judged. To
    # delivered: it was in flight when it was held, and what has happened is recorded whatever was decided meanwhile.
    State.HELD: frozenset({State.QUEUED, State.DROPPED, State.HELD, State.DELIVERED, State.BOUNCED}),
    State.DELIVERED: frozenset(),
    State.BOUNCED: frozenset(),
    State.EXPIRED: frozenset(),
    State.DROPPED: frozenset(),
    State.PROOF: frozenset(),
}
