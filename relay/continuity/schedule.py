"""When the proofs of an appliance are due. Pure.

At once when it leaves ``up``, since what was proven before then proves nothing for the outage; then every ten
minutes; in quiet times hourly, each appliance at its own minute, so that thousands don't come together. But a list of
recipients that is empty puts all mail off now: that somebody has filled it is seen within minutes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from relay.appliances.facts import Health, HealthFact
from relay.continuity.proof import Proof
from relay.settings import PROOFS

DOWN_EVERY = 600.0
FAILING_EVERY = 120.0
"""Seconds while it is down and a proof fails, or a list is empty: whoever mends the cause waits for the ticket."""
RECIPIENTS = "recipients"
QUIET_EVERY = 3600.0
_SPREAD = 2654435761
"""Knuth's multiplicative hash: numbers that follow each other come to lie far apart."""


def next_round(
    appliance_id: int, health: HealthFact, proofs: Iterable[Proof], skipped: Collection[str], now: float
) -> float | None:
    """When all proofs of the appliance should be tried next (past: they are due); None where all are skipped."""
    found = {proof.name: proof for proof in proofs}
    wanted = [name for name in PROOFS if name not in skipped]
    if not wanted:
        return None
    if any(name not in found for name in wanted):
        return now
    last = min(found[name].at for name in wanted)
    if health.state in (Health.UP, Health.UNKNOWN):
        if RECIPIENTS in wanted and not found[RECIPIENTS].ok:
            return last + FAILING_EVERY
        phase = appliance_id * _SPREAD % int(QUIET_EVERY)
        return last + QUIET_EVERY - (last - phase) % QUIET_EVERY
    if last < health.since:
        return now
    failing = health.state is Health.DOWN and not all(found[name].ok for name in wanted)
    return last + (FAILING_EVERY if failing else DOWN_EVERY)
