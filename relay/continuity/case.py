"""What the controller keeps in memory for each appliance that this node owns; all of it can be found again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection

from relay import settings
from relay.appliances import facts
from relay.appliances.directory import Snapshot
from relay.appliances.facts import ContinuityFact, Health, HealthFact, Outage, Window
from relay.appliances.model import Appliance, Domain
from relay.continuity import store
from relay.continuity.decision import Facts
from relay.continuity.progress import Told
from relay.continuity.proof import Proof
from relay.continuity.schedule import next_round
from relay.queue.sums import Depth

NOW = float("-inf")
"""A time that has always come."""
NEVER = float("inf")


@dataclass(slots=True)
class Case:
    """An appliance, what is known of it, and when something is to be done about it.

    ``next_at``: when to decide again; ``prove_at``: when its proofs are due. ``listed``: the domains that the ticket
    was last told, None before. ``mark``: (time of the return, number of the newest message then): that is what has to
    be tried, and ``untried`` how much of it hasn't been. ``told``: the progress that the ticket was last told;
    ``refused``: what it was last told of a primary that refuses everything.
    """

    appliance: Appliance
    domains: tuple[Domain, ...]
    health: HealthFact
    continuity: ContinuityFact
    windows: tuple[Window, ...]
    outage: Outage | None = None
    proofs: tuple[Proof, ...] = ()
    next_at: float = NOW
    prove_at: float = NOW
    proving: bool = False
    listed: tuple[str, ...] | None = None
    mark: tuple[float, int] | None = None
    untried: int | None = None
    counting: bool = False
    count_at: float = NOW
    told: Told | None = None
    refused: str = ""

    def follow(self, snapshot: Snapshot) -> None:
        """Take over what changed, and see that it is decided anew."""
        number = self.appliance.id
        present = (
            snapshot.appliances[number],
            snapshot.domains_of.get(number, ()),
            snapshot.health.get(number, self.health),
            snapshot.continuity.get(number, self.continuity),
            tuple(window for window in snapshot.windows if window.appliance_id == number),
        )
        if present != (self.appliance, self.domains, self.health, self.continuity, self.windows):
            self.appliance, self.domains, self.health, self.continuity, self.windows = present
            self.next_at = self.prove_at = NOW

    def returned_at(self, rules: settings.Continuity, now: float) -> float | None:
        """The return whose mail has to be tried before anything is resolved; None where nothing waits for that."""
        if self.health.state is Health.UNKNOWN or self.health.state is Health.DOWN:
            return None
        if self.outage is not None:
            return self.outage.returned_at if self.outage.drained_at is None else None
        if self.health.state is Health.UP and self.continuity.priority is not None:
            return self.health.since if now >= self.health.since + rules.settle else None
        return None

    def facts(self, rules: settings.Continuity, depth: Depth, now: float) -> Facts:
        """``depth``: what is here for the appliance now."""
        counted = self.mark is not None and self.mark[0] == self.returned_at(rules, now)
        return Facts(
            self.appliance,
            rules,
            self.health,
            self.continuity,
            self.outage,
            self.proofs,
            self.windows,
            self.untried if counted else None,
            depth.queued,
            depth.held,
        )

    @property
    def domain_names(self) -> tuple[str, ...]:
        return tuple(domain.name for domain in self.domains)

    def concerns(self, now: float) -> bool:
        """Whether there is anything to do: a contract that runs, or an outage or ticket that goes on."""
        return (
            self.outage is not None
            or self.continuity.priority is not None
            or any(domain.contract_runs(now) for domain in self.domains)
        )

    def provable(self, now: float) -> tuple[Domain, ...]:
        """The domains to prove continuity for: those whose contract runs, or all where none does any more."""
        return tuple(domain for domain in self.domains if domain.contract_runs(now)) or self.domains

    def schedule_proofs(self, rules: settings.Continuity, now: float) -> None:
        skipped = {*self.appliance.skip_proofs, *rules.skip_proofs}
        due = next_round(self.appliance.id, self.health, self.proofs, skipped, now) if self.domains else None
        self.prove_at = NEVER if due is None else due


def load(
    connection: Connection, appliance_ids: Iterable[int]
) -> dict[int, tuple[tuple[Proof, ...], ContinuityFact | None, Outage | None]]:
    """For appliances that this node begins to own: the last proofs, continuity, and the outage that goes on."""
    found = {}
    for number in appliance_ids:
        present = facts.get_continuity(connection, number)
        outage_id = None if present is None else present.outage_id
        outage = None if outage_id is None else facts.get_outage(connection, outage_id)
        found[number] = (store.proofs_of(connection, number), present, outage)
    return found
