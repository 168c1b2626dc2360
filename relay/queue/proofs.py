"""Messages of the loop proof: committed, read back, and removed; outside of ledger, drain and quotas.

Each nonce counts once: its row outlives its content for an hour, far longer than the address it came in is valid.
"""

from __future__ import annotations

from collections.abc import Callable

from relay.queue.content import pack, unpack
from relay.queue.ledger import Deltas
from relay.queue.statements import Statements
from relay.queue.states import State

REMEMBERED = 3600.0
"""Seconds after which a nonce is forgotten."""


def write(domain: str, nonce: str, content: bytes, now: float) -> Callable[[Statements, Deltas], bool]:
    """Store a proof message; False where this nonce was used before."""

    def work(statements: Statements, deltas: Deltas) -> bool:
        packed, data = pack(content)
        stored = statements.execute(
            "INSERT INTO loop_proofs (nonce, domain, state, packed, content, at) VALUES (?,?,?,?,?,?)"
            " ON CONFLICT (nonce) DO NOTHING",
            (nonce, domain, State.PROOF, packed, data, now),
        )
        return stored.rowcount == 1

    return work


def consume(nonce: str) -> Callable[[Statements, Deltas], bytes | None]:
    """What was stored with this nonce, and is removed now; None where nothing was, or it was read before."""

    def work(statements: Statements, deltas: Deltas) -> bytes | None:
        row = statements.execute(
            "SELECT packed, content FROM loop_proofs WHERE nonce = ? AND content IS NOT NULL", (nonce,)
        ).fetchone()
        if row is None:
            return None
        statements.execute("UPDATE loop_proofs SET content = NULL WHERE nonce = ?", (nonce,))
        return unpack(*row)

    return work


def forget(before: float) -> Callable[[Statements, Deltas], int]:
    """Forget what was stored before then."""

    def work(statements: Statements, deltas: Deltas) -> int:
        return statements.execute("DELETE FROM loop_proofs WHERE at < ?", (before,)).rowcount

    return work
