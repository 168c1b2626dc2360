"""What do we do about an appliance? One pure function of facts and ``now``: continuity, priority, and what to say.

    down                       → an outage begins; standby, or active where that is permitted and proven
    up, or delayed             → returned: draining, until all that was queued at the return has been tried once
    drained, and quiet a while → standby; the outage ends, its ticket is resolved, the operator's order is forgotten

It promises that the ticket is never P3 while the appliance is down and continuity isn't proven, that nothing is
resolved while mail of the outage has not been tried, and that deciding again after it was carried out changes
nothing. It reads no clock and no database: relay.continuity.controller gathers the facts and carries it out.

Where the design leaves a choice: evidence from before the outage proves nothing for it; the grace of ``proof_after``
is for a proof that is lost or regained, the first takeover needs none; in a maintenance window no ticket about mail
flow is opened or raised; a primary that refuses everything (5xx) has not returned.
"""

from __future__ import annotations

from dataclasses import replace

from relay.appliances.facts import Continuity, Health, Outage
from relay.clock import iso
from relay.continuity import comments
from relay.continuity.decision import Decision, Facts, Step
from relay.continuity.permission import DEACTIVATE, began, closing, permitted, raise_at, window_end
from relay.tickets.flapping import TIMES, keep_open_until

P1, P2, P3 = 1, 2, 3


def decide(facts: Facts, now: float) -> Decision:
    """What should be done at ``now``; unknown health changes nothing."""
    if facts.health.state is Health.UNKNOWN:
        return Decision(facts.continuity, facts.outage)
    if facts.health.state is Health.DOWN:
        return _down(facts, now)
    if facts.outage is not None:
        return _back(facts, facts.outage, now)
    return _quiet(facts, now)


def _down(facts: Facts, now: float) -> Decision:
    before, health, rules = facts.continuity, facts.health, facts.rules
    judged = facts.judge(now)
    steps: list[Step] = []
    outage, downs = facts.outage, before.downs
    if outage is None:
        outage = Outage(0, facts.appliance.id, health.since, None, None, None, None, health.reason)
        steps.append(Step.BEGIN)
    elif outage.returned_at is not None:
        outage = replace(outage, returned_at=None, drained_at=None)
        steps.append(Step.RELAPSED)
    if steps:
        downs = (*downs, health.since)[-TIMES:]

    was_active = before.state is Continuity.ACTIVE and not steps and before.order != DEACTIVATE
    takes_over = not was_active and permitted(facts, now) and judged.proven
    if takes_over:
        outage = replace(outage, taken_over_at=outage.taken_over_at or now)
        steps.append(Step.TAKEN_OVER)
    state = Continuity.ACTIVE if was_active or takes_over else Continuity.STANDBY
    ready, doubt_since = _grace(facts, judged.proven, now) if was_active else (judged.proven, None)

    maintenance, due, raising = window_end(facts.windows, now), health.since + rules.ticket_after, raise_at(facts, now)
    priority = before.priority
    if maintenance is None and now >= due:
        carried = state is Continuity.ACTIVE and ready and (raising is None or now < raising)
        priority = P3 if carried and before.priority in (P1, P3) else P1  # an outage is a P1 first
    after = replace(
        before,
        state=state,
        since=before.since if state is before.state else now,
        ready=ready,
        failing_proofs=judged.failing_names,
        doubt_since=doubt_since,
        priority=priority,
        downs=downs,
    )
    return Decision(
        after,
        outage,
        tuple(steps),
        comments.while_down(facts, after, judged, Step.RELAPSED in steps, now),
        comments.history(before, after, f"down since {iso(health.since)}: {health.reason}"),
        began(facts, now),
        _soonest(
            now,
            due,
            maintenance,
            raising,
            closing(facts, now),
            judged.until,
            None if doubt_since is None else doubt_since + rules.proof_after,
            again=priority != before.priority,
        ),
    )


def _grace(facts: Facts, proven: bool, now: float) -> tuple[bool, float | None]:
    """``ready`` and ``doubt_since`` while active: the flag follows the proofs once they have said the same for
    ``proof_after`` seconds."""
    ready, doubt_since = bool(facts.continuity.ready), facts.continuity.doubt_since
    if proven == ready:
        return ready, None
    doubt_since = now if doubt_since is None else doubt_since
    return (proven, None) if now - doubt_since >= facts.rules.proof_after else (ready, doubt_since)


def _back(facts: Facts, outage: Outage, now: float) -> Decision:
    """It answers, and its outage goes on until drained and settled."""
    before, health = facts.continuity, facts.health
    maintenance, judged = window_end(facts.windows, now), facts.judge(now)
    steps: list[Step] = []
    if outage.returned_at is None and not health.refuses:
        outage = replace(outage, returned_at=health.since)
        steps.append(Step.RETURNED)
    elif outage.returned_at is not None and outage.drained_at is None and facts.untried == 0:
        outage = replace(outage, drained_at=now)
        steps.append(Step.DRAINED)

    after = before
    if outage.returned_at is not None:
        after = replace(
            before,
            state=Continuity.DRAINING,
            ready=judged.proven,
            failing_proofs=judged.failing_names,
            doubt_since=None,
        )
    drained = outage.drained_at is not None
    if health.state is Health.DELAYED and maintenance is None and (drained or before.priority is None):
        after = replace(after, priority=P2)
    settled = _settled_at(facts, outage)
    if settled is not None and now >= settled:
        outage = replace(outage, ended_at=now)
        steps.append(Step.END)
        after = replace(after, state=Continuity.STANDBY, outage_id=None, priority=None)
        if (after.order_at or 0.0) < (outage.returned_at or now):  # what was said since the return is for the next one
            after = replace(after, order=None, order_by=None, order_at=None)
    if after.state is not before.state:
        after = replace(after, since=now)
    return Decision(
        after,
        outage,
        tuple(steps),
        comments.while_back(facts, after, tuple(steps)),
        comments.history(before, after, "drained and settled" if Step.END in steps else "the appliance answers again"),
        began(facts, now),
        _soonest(now, settled, maintenance, judged.until, again=bool(steps) and Step.END not in steps),
    )


def _settled_at(facts: Facts, outage: Outage) -> float | None:
    """When the outage may end: up, drained and quiet for ``settle``, or half an hour where the appliance flaps."""
    if facts.health.state is not Health.UP or outage.drained_at is None:
        return None
    settled = max(facts.health.since, outage.drained_at) + facts.rules.settle
    return max(settled, keep_open_until(facts.continuity.downs, facts.health.since) or settled)


def _quiet(facts: Facts, now: float) -> Decision:
    """No outage: up, or delayed, which has a ticket of its own."""
    before, health = facts.continuity, facts.health
    maintenance, judged = window_end(facts.windows, now), facts.judge(now)
    priority, settled = before.priority, None
    if health.state is Health.DELAYED and maintenance is None:
        priority = P2
    elif health.state is Health.UP and before.priority is not None:
        settled = health.since + facts.rules.settle
        if facts.untried == 0 and now >= settled:
            priority = None
    after = replace(
        before,
        state=Continuity.STANDBY,
        since=before.since if before.state is Continuity.STANDBY else now,
        ready=None if judged.pending and not judged.failing else judged.proven,
        failing_proofs=judged.failing_names,
        doubt_since=None,
        priority=priority,
    )
    return Decision(
        after,
        None,
        note=comments.while_quiet(facts, after),
        history=comments.history(before, after, "there is no outage"),
        started_at=began(facts, now),
        next_at=_soonest(now, settled, maintenance, judged.until),
    )


def _soonest(now: float, *moments: float | None, again: bool = False) -> float | None:
    """The first of the moments that are still to come; ``now`` where there is a next step at once."""
    if again:
        return now
    return min((moment for moment in moments if moment is not None and moment > now), default=None)
