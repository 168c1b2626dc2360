"""What a decision tells the ticket and the history, in words for an engineer at three in the morning. Pure.

Each note says what is the matter, what the relay does about it, and on what evidence. A note is written when one of
these changed, and only for a ticket that is there.
"""

from __future__ import annotations

from relay.appliances.facts import Continuity, ContinuityFact, Health
from relay.appliances.model import Activation
from relay.clock import iso
from relay.continuity.decision import Facts, Note, Step
from relay.continuity.permission import DEACTIVATE, closing, may_become, permitted, raise_at
from relay.continuity.proof import Judgement


def while_down(facts: Facts, after: ContinuityFact, judged: Judgement, relapsed: bool, now: float) -> Note | None:
    """The opening, each change of priority, state or readiness, and each change of what fails."""
    before = facts.continuity
    if after.priority is None:
        return None
    opened = before.priority not in (1, 3) and after.priority == 1
    changed = (
        opened
        or relapsed
        or (after.priority, after.state) != (before.priority, before.state)
        or (after.state is Continuity.ACTIVE and after.ready != before.ready)
        or (after.state is Continuity.STANDBY and may_become(facts) and _newly_failing(before, after))
    )
    if not changed:
        return None
    stance = _stance(facts, after, judged, now)
    if not opened and not relapsed:
        return stance
    again = "down again" if relapsed else "down"
    problem = f"{facts.appliance.name} is {again} since {iso(facts.health.since)}: {facts.health.reason}."
    if opened:
        problem += " No mail flow; the relay accepts and queues the mail."
        if after.state is Continuity.ACTIVE and after.ready and not _raised(facts, now):
            return Note(problem)  # the next note, with P3, tells the rest
    return Note(f"{problem} {stance.text}", stance.lines)


def _newly_failing(before: ContinuityFact, after: ContinuityFact) -> bool:
    return bool(after.failing_proofs) and after.failing_proofs != before.failing_proofs


def _stance(facts: Facts, after: ContinuityFact, judged: Judgement, now: float) -> Note:
    """What the relay does about an appliance that is down, and why no more or no less."""
    if after.state is Continuity.ACTIVE:
        return _active(facts, after, judged, now)
    if facts.continuity.order == DEACTIVATE:
        return Note(f"Continuity stays off: so said {facts.continuity.order_by}.")
    if not may_become(facts):
        return Note(
            "Continuity is activated by hand for this customer: "
            f"'relayctl failover activate {facts.appliance.name}' does it."
        )
    if permitted(facts, now):
        return Note("Continuity can't be proven, so the priority stays P1.", judged.failing_lines())
    end = closing(facts, now)
    if end is None:
        return Note(
            "This customer has no off hours, so continuity doesn't begin by itself; "
            f"'relayctl failover activate {facts.appliance.name}' begins it."
        )
    text = f"These are the customer's business hours; continuity begins when they end, at {iso(end)}"
    if judged.failing:
        return Note(f"{text}, once it can be proven.", judged.failing_lines())
    return Note(f"{text}.")


def _active(facts: Facts, after: ContinuityFact, judged: Judgement, now: float) -> Note:
    minutes = f"{facts.rules.proof_after / 60:.0f} minutes"
    if not after.ready:
        return Note(
            f"Continuity is active, but has not been proven for {minutes}: the priority is P1.", judged.failing_lines()
        )
    if _raised(facts, now):
        opening = facts.calendar.next_opening(now)
        begin = "have begun" if opening is None or opening <= now else f"begin at {iso(opening)}"
        return Note(f"Continuity is active and proven; business hours {begin}: the priority is P1.", judged.lines())
    if facts.continuity.order is not None:
        cause = f"{facts.continuity.order_by} ordered it"
    elif facts.appliance.activation is Activation.ALWAYS:
        cause = "the customer's policy is 'always'"
    else:
        cause = "it is off hours for the customer"
    text = f"Continuity is active: {cause}, and it is proven that mail is taken and kept. The urgency is reduced to P3."
    return Note(text, judged.lines() + judged.failing_lines())


def _raised(facts: Facts, now: float) -> bool:
    raising = raise_at(facts, now)
    return raising is not None and now >= raising


def while_back(facts: Facts, after: ContinuityFact, steps: tuple[Step, ...]) -> Note | None:
    """The return, the end of the drain, a delay that outlasts it, and the resolution."""
    before, name = facts.continuity, facts.appliance.name
    if before.priority is None and after.priority is None:
        return None
    if Step.END in steps:
        text = f"{name} is up since {iso(facts.health.since)}, and all mail that waited for it has been tried."
        return Note(text + _held(facts.held))
    said = []
    if Step.RETURNED in steps:
        said.append(f"{name} answers again since {iso(facts.health.since)}. {_waiting(facts.waiting)}")
    if Step.DRAINED in steps:
        said.append(f"All mail that waited when {name} came back has been tried.{_held(facts.held)}")
    if after.priority != before.priority:
        said.append(_delayed(facts))
    return Note(" ".join(said)) if said else None


def _waiting(recipients: int) -> str:
    """What waits for an appliance that is back; a short backlog is gone before this is written."""
    if not recipients:
        return "No mail waits for it."
    who = "1 recipient waits" if recipients == 1 else f"{recipients} recipients wait"
    return f"{who}, and mail is being handed back."


def _held(recipients: int) -> str:
    """What doesn't count as waiting, for somebody has to decide about it, or nobody has yet."""
    if not recipients:
        return ""
    who = "1 recipient is" if recipients == 1 else f"{recipients} recipients are"
    return f" {who} held: 'relayctl queue list --state held' says why."


def while_quiet(facts: Facts, after: ContinuityFact) -> Note | None:
    """A delay, and its end."""
    if after.priority == facts.continuity.priority:
        return None
    if facts.health.state is Health.DELAYED:
        return Note(_delayed(facts))
    return Note(f"{facts.appliance.name} answers as it should since {iso(facts.health.since)}.")


def _delayed(facts: Facts) -> str:
    health = facts.health
    return f"{facts.appliance.name} answers, but mail is delayed since {iso(health.since)}: {health.reason}."


def history(before: ContinuityFact, after: ContinuityFact, reason: str) -> str:
    """Why the state, or the readiness of an active continuity, changed; empty where neither did."""
    if after.state is not before.state:
        return reason
    if after.state is Continuity.ACTIVE and after.ready != before.ready:
        return "proven again" if after.ready else f"not proven: {', '.join(after.failing_proofs) or 'no evidence'}"
    return ""


def about(domain: str, evidence: str) -> str:
    """Evidence with the domain that it is about, unless it begins with that itself."""
    return evidence if not domain or evidence.startswith(domain) else f"{domain}: {evidence}"
