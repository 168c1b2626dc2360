"""What a proof of readiness is, how long it serves, and what the six together say. Pure.

Readiness is proof before a downgrade: a ticket may go from P1 to P3 only on evidence that was gathered after the
appliance went down and is not older than 15 minutes. A proof that has not been tried yet is *pending*: it allows
nothing, and accuses nobody.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from relay.clock import iso
from relay.settings import PROOFS

FRESH = 900.0
"""Seconds for which evidence serves while an appliance is not up."""
QUIET_FRESH = 7200.0
"""Seconds for which it serves in quiet times, when it is gathered hourly and decides nothing."""
DNS_SERVES = 86400.0
"""Seconds for which the last good answer of the DNS serves: the customer's DNS may be down together with its mail."""


@dataclass(frozen=True, slots=True)
class Proof:
    """One proof for one appliance: whether it held at ``at`` (when it was begun), on what evidence, one line."""

    name: str
    ok: bool
    evidence: str
    at: float
    last_good_at: float | None = None

    def __str__(self) -> str:
        return f"{self.name}: {self.evidence} ({iso(self.at)})"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What all proofs say together. ``until``: when the first that holds goes stale (None: none ever does)."""

    good: tuple[Proof, ...]
    failing: tuple[Proof, ...]
    pending: tuple[str, ...]
    skipped: tuple[str, ...]
    until: float | None

    @property
    def proven(self) -> bool:
        return not self.failing and not self.pending

    @property
    def failing_names(self) -> tuple[str, ...]:
        return tuple(proof.name for proof in self.failing)

    def lines(self) -> tuple[str, ...]:
        """For the ticket: each proof that holds, with its evidence and time, and which were skipped."""
        skipped = (f"skipped by the operator: {', '.join(self.skipped)}",) if self.skipped else ()
        return (*(str(proof) for proof in self.good), *skipped)

    def failing_lines(self) -> tuple[str, ...]:
        """For the ticket: each proof that fails, with its evidence and time, and which have no result yet."""
        pending = (f"no result yet: {', '.join(self.pending)}",) if self.pending else ()
        return (*(f"failing {proof}" for proof in self.failing), *pending)


def judge(
    proofs: Iterable[Proof], skipped: Collection[str], now: float, *, since: float = 0.0, serves: float = FRESH
) -> Judgement:
    """Weigh the evidence of now: what was gathered before ``since`` counts as not tried, what is older than
    ``serves`` seconds fails; for ``dns`` a good answer serves 24 hours, whenever it was given."""
    known = {proof.name: proof for proof in proofs}
    good, failing, pending, until = [], [], [], float("inf")
    for name in (name for name in PROOFS if name not in skipped):
        proof = known.get(name)
        if name == "dns" and proof is not None and proof.ok and proof.last_good_at is not None:
            expires = proof.last_good_at + DNS_SERVES
        elif proof is None or proof.at < since:
            pending.append(name)
            continue
        else:
            expires = proof.at + serves
        if not proof.ok:
            failing.append(proof)
        elif now >= expires:
            age = "24 hours" if name == "dns" else f"{serves / 60:.0f} minutes"
            failing.append(Proof(name, False, f"the evidence is older than {age}: {proof.evidence}", proof.at))
        else:
            good.append(proof)
            until = min(until, expires)
    return Judgement(
        tuple(good),
        tuple(failing),
        tuple(pending),
        tuple(name for name in PROOFS if name in skipped),
        None if until == float("inf") else until,
    )
