"""What a decision rests on, and what it says: plain frozen values. Times are POSIX seconds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from relay import settings
from relay.appliances.facts import ContinuityFact, Health, HealthFact, Outage, Window
from relay.appliances.model import Appliance
from relay.continuity.proof import FRESH, QUIET_FRESH, Judgement, Proof, judge
from relay.hours import Calendar


class Step(StrEnum):
    """What becomes of an outage with a decision."""

    BEGIN = "begin"
    RELAPSED = "relapsed"  # down again before it ended
    TAKEN_OVER = "taken over"
    RETURNED = "returned"
    DRAINED = "drained"
    END = "end"


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a decision rests on.

    ``outage``: the one that goes on. ``untried``: recipients that were queued when the appliance came back and have
    not been tried since; None where that is not known, or it has not come back. ``waiting``: all that are queued now;
    ``held``: all that are set aside.
    """

    appliance: Appliance
    rules: settings.Continuity
    health: HealthFact
    continuity: ContinuityFact
    outage: Outage | None = None
    proofs: tuple[Proof, ...] = ()
    windows: tuple[Window, ...] = ()
    untried: int | None = None
    waiting: int = 0
    held: int = 0

    @property
    def calendar(self) -> Calendar:
        """The customer's business hours."""
        return Calendar.parse(self.appliance.business_hours, self.appliance.timezone, self.appliance.holidays)

    def judge(self, now: float) -> Judgement:
        """The proofs of now: while it is down those alone that were begun since then, else as last found."""
        skipped = {*self.appliance.skip_proofs, *self.rules.skip_proofs}
        if self.health.state is Health.DOWN:
            return judge(self.proofs, skipped, now, since=self.health.since, serves=FRESH)
        return judge(self.proofs, skipped, now, serves=QUIET_FRESH)


@dataclass(frozen=True, slots=True)
class Note:
    """What the ticket is told: a sentence or two, and lines of evidence below."""

    text: str
    lines: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join((self.text, *self.lines))


@dataclass(frozen=True, slots=True)
class Decision:
    """What should be, in full.

    ``continuity.priority`` is the priority wanted, None for no ticket. ``outage``: as it should be, with the number 0
    where it begins. ``note``: what the ticket is told. ``history``: why the state changed, empty where it didn't.
    ``started_at``: when the trouble began, for the ticket's clocks. ``next_at``: when to decide again though no fact
    changed (``now``: there is a next step at once; None: never).
    """

    continuity: ContinuityFact
    outage: Outage | None
    steps: tuple[Step, ...] = ()
    note: Note | None = None
    history: str = ""
    started_at: float = 0.0
    next_at: float | None = None

    def changes(self, facts: Facts) -> bool:
        return bool(self.steps) or self.continuity != facts.continuity
