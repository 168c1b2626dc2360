"""Carry a decision out: state, outage, history and ticket in the caller's one transaction.

Promises: it is all or nothing, and nothing where the facts have changed since they were gathered (an operator's order,
a new health, another owner): then they are gathered and decided anew. The ledger in the resolution is read in the
same transaction that ends the outage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from relay.appliances import facts as known
from relay.appliances.facts import ContinuityFact, Outage
from relay.appliances.progress import list_handbacks
from relay.continuity import letters
from relay.continuity.decision import Decision, Facts, Note, Step
from relay.continuity.store import add_history
from relay.queue.ledger import Ledger, ledger
from relay.tickets import desk, store
from relay.tickets.people.rules import Happening
from relay.tickets.states import RELAY, Condition, Event, Priority
from relay.tickets.ticket import Ticket, Wanted


@dataclass(frozen=True, slots=True)
class Done:
    """What was carried out: what is written now. ``outage``: the one that goes on, with its number, None for none."""

    continuity: ContinuityFact
    outage: Outage | None


def carry_out(
    connection: Connection,
    facts: Facts,
    decision: Decision,
    domains: tuple[str, ...],
    holds: Callable[[Connection, int], bool],
    now: float,
) -> Done | None:
    """None where nothing was done, since the facts are others by now. ``holds``: the fence of the owner's lease."""
    number = facts.appliance.id
    if (
        not holds(connection, number)
        or known.get_health(connection, number) != facts.health
        or known.get_continuity(connection, number) != facts.continuity
    ):
        return None
    outage = _record_outage(connection, facts, decision)
    ended = Step.END in decision.steps
    outage_id = None if outage is None else outage.id
    after = replace(decision.continuity, outage_id=None if ended else outage_id)
    if Step.RELAPSED in decision.steps and facts.continuity.priority is not None and _resolved(connection, number):
        after = replace(after, priority=None)  # by a person, when it was back: that it is down again is a new P1
    decision = replace(decision, continuity=after)
    known.set_continuity(connection, number, after)
    if facts.continuity.order is not None and after.order is None:
        known.set_order(connection, number, None, None, now)
    if decision.history:
        before = facts.continuity
        add_history(
            connection,
            number,
            outage_id,
            RELAY,
            _state(before.state, before.ready),
            _state(after.state, after.ready),
            decision.history,
            now,
        )
    if after.priority != facts.continuity.priority:
        lines = balance(connection, outage_id) if ended and outage_id is not None else ()
        reconcile(connection, facts, decision, domains, outage_id, lines, now)
    elif decision.note is not None:
        tell(connection, number, decision.note, now, _about(decision))
    if outage is not None:
        letters.write(connection, facts.appliance, domains, after, outage, now)
    return Done(after, None if ended else outage)


def reconcile(
    connection: Connection,
    facts: Facts,
    decision: Decision,
    domains: tuple[str, ...],
    outage_id: int | None,
    lines: Iterable[str],
    now: float,
) -> Ticket | None:
    """Make the ticket about mail flow what the decision wants; ``lines`` go below its note."""
    note = decision.note or Note("")
    priority = decision.continuity.priority
    return desk.reconcile(
        connection,
        Wanted(
            appliance_id=facts.appliance.id,
            appliance=facts.appliance.name,
            customer=facts.appliance.customer,
            condition=Condition.MAILFLOW,
            domains=domains,
            priority=None if priority is None else Priority(priority),
            started_at=decision.started_at,
            reason=note.text,
            proof=(*note.lines, *lines),
            outage_id=outage_id,
            plan=facts.appliance.plan,
        ),
        now,
    )


def tell(connection: Connection, appliance_id: int, note: Note | str, now: float, about: str = "") -> None:
    """A comment in the ticket about mail flow, if one is open. ``about``: what it says, for people who ask for that."""
    ticket = store.latest(connection, appliance_id, Condition.MAILFLOW)
    if ticket is not None and not ticket.resolved:
        data = {"about": about} if about else None
        store.record(connection, ticket.id, Event.COMMENT, RELAY, now, reason=str(note), data=data)


def _about(decision: Decision) -> str:
    if Step.DRAINED in decision.steps:
        return str(Happening.DRAINED)
    return str(Happening.RETURNED) if Step.RETURNED in decision.steps else ""


def _resolved(connection: Connection, appliance_id: int) -> bool:
    ticket = store.latest(connection, appliance_id, Condition.MAILFLOW)
    return ticket is not None and ticket.resolved


def balance(connection: Connection, outage_id: int) -> tuple[str, ...]:
    """What became of an outage's mail, and how fast it was handed back."""
    handback = list_handbacks(connection, (outage_id,)).get(outage_id)
    told = handback.told() if handback is not None else ""
    pace = (f"Handed back until it was drained: {told}.",) if told else ()
    return (*ledger_lines(ledger(connection, outage=outage_id)), *pace)


def ledger_lines(rows: Iterable[Ledger]) -> tuple[str, ...]:
    """The outage's balance by domain, in recipients; what is nought is left out."""
    return tuple(
        f"{row.domain}: {row.accepted} accepted = "
        + (
            " + ".join(
                f"{count} {name}"
                for name in ("delivered", "bounced", "expired", "dropped", "queued", "held")
                if (count := getattr(row, name))
            )
            or "0"
        )
        for row in rows
    ) or ("No mail came for it during the outage.",)


def _record_outage(connection: Connection, facts: Facts, decision: Decision) -> Outage | None:
    outage = decision.outage
    if outage is None or not decision.steps:
        return outage
    if Step.BEGIN in decision.steps:
        outage = replace(outage, id=known.begin_outage(connection, facts.appliance.id, outage.began_at, outage.reason))
    known.mark_outage(
        connection,
        outage.id,
        taken_over_at=outage.taken_over_at,
        returned_at=outage.returned_at,
        drained_at=outage.drained_at,
        ended_at=outage.ended_at,
    )
    return outage


def _state(state: known.Continuity, ready: bool | None) -> str:
    return str(state) if state is not known.Continuity.ACTIVE or ready else f"{state}, not proven"
