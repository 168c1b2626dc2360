"""Facts for decisions, and the carrying out of a decision without a database: what comes out goes in again."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from relay import settings
from relay.appliances.facts import Continuity, ContinuityFact, Health, HealthFact, Outage, Window
from relay.appliances.model import Activation, Appliance
from relay.continuity.decide import decide
from relay.continuity.decision import Decision, Facts, Step
from relay.continuity.proof import Proof
from relay.settings import PROOFS


def at(text: str) -> float:
    """POSIX seconds of '2026-11-23 17:30' in UTC; that day is a Monday."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("UTC")).timestamp()


NIGHT = at("2026-11-23 22:00")
"""Monday night; the hours are Mon-Fri 09:00-18:00 in UTC."""
DAY = at("2026-11-23 14:00")


def appliance(**changes: Any) -> Appliance:
    plain = Appliance(
        1, "acme", "Acme Ltd", (), "Mon-Fri 09:00-18:00", "UTC", "", Activation.OFF_HOURS, (), False, (), 0.0
    )
    return replace(plain, **changes)


def down(since: float) -> HealthFact:
    return HealthFact(Health.DOWN, "no connection to mail.acme.example:25", since)


def up(since: float) -> HealthFact:
    return HealthFact(Health.UP, "answers", since)


def delayed(since: float, reason: str = "half of its recipients got 4xx") -> HealthFact:
    return HealthFact(Health.DELAYED, reason, since)


def proofs(begun: float, *, failing: tuple[str, ...] = (), pending: tuple[str, ...] = ()) -> tuple[Proof, ...]:
    return tuple(
        Proof(name, name not in failing, f"evidence of {name}", begun, None if name in failing else begun)
        for name in PROOFS
        if name not in pending
    )


def window(starts_at: float, ends_at: float) -> Window:
    return Window(1, 1, starts_at, ends_at, "new disks", "dana")


def facts(health: HealthFact, **changes: Any) -> Facts:
    """Of an appliance in standby without a past; ``rules`` may be a dict of settings that differ from the defaults."""
    rules = settings.Continuity(**changes.pop("rules", {}))
    past = changes.pop("continuity", ContinuityFact(Continuity.STANDBY, 0.0))
    return Facts(changes.pop("appliance", appliance()), rules, health, past, **changes)


def outage(began_at: float, **times: Any) -> Outage:
    return replace(Outage(7, 1, began_at, None, None, None, None, "no connection"), **times)


def in_outage(state: Continuity, since: float, *, priority: int | None = None, **changes: Any) -> ContinuityFact:
    return replace(ContinuityFact(state, since, outage_id=7, priority=priority), **changes)


def carry_out(before: Facts, decision: Decision) -> Facts:
    """The facts as they are once the decision is in the database."""
    ongoing = decision.outage
    continuity = decision.continuity
    if Step.BEGIN in decision.steps and ongoing is not None:
        ongoing = replace(ongoing, id=7)
        continuity = replace(continuity, outage_id=7)
    if Step.END in decision.steps:
        ongoing = None
    return replace(before, continuity=continuity, outage=ongoing)


def settle(before: Facts, now: float) -> tuple[Facts, list[Decision]]:
    """Decide and carry out until nothing changes; all decisions that changed something."""
    made: list[Decision] = []
    for _ in range(10):
        decision = decide(before, now)
        if not decision.changes(before):
            return before, made
        made.append(decision)
        before = carry_out(before, decision)
    raise AssertionError("no end of decisions")
