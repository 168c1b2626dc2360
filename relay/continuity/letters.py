"""When a customer's own contacts are told of an outage: with the ticket, at the takeover, at the end.

Works in the transaction that carries the decision out, so that what is told is what happened, and nothing is lost. Each
stage is told once for an outage, whatever flaps or restarts; who wasn't told of the start isn't told of the rest. No
ticket, no letter: what a maintenance window covers, or is over within ``ticket_after``, nobody hears of.
"""

from __future__ import annotations

from sqlalchemy import Connection

from relay.appliances.facts import Continuity, ContinuityFact, Outage
from relay.appliances.model import Appliance
from relay.queue.ledger import by_outage
from relay.tickets import store as tickets
from relay.tickets.people import store as notices
from relay.tickets.people.letters import Letter, Stage
from relay.tickets.people.people import LETTER
from relay.tickets.people.rules import CONTACT
from relay.tickets.states import Condition


def stages(after: ContinuityFact, outage: Outage) -> tuple[Stage, ...]:
    """What is to be told by now, in this order; each but the first only to those who were told of the first."""
    told = []
    if after.priority in (1, 3) and outage.returned_at is None:
        told.append(Stage.START)
    if after.priority is not None and after.state is Continuity.ACTIVE and after.ready:
        told.append(Stage.TAKEOVER)
    if outage.ended_at is not None:
        told.append(Stage.END)
    return tuple(told)


def write(
    connection: Connection,
    appliance: Appliance,
    domains: tuple[str, ...],
    after: ContinuityFact,
    outage: Outage,
    now: float,
) -> None:
    """Put what is to be told, and wasn't yet, where relay.tickets.people finds it."""
    if not appliance.contacts or not (due := stages(after, outage)):
        return
    ticket = tickets.latest(connection, appliance.id, Condition.MAILFLOW)
    if ticket is None:
        return
    started = notices.written(connection, _about(outage, Stage.START))
    for stage in due:
        for target in (f"{CONTACT}{address}" for address in appliance.contacts):
            if stage is Stage.START or target in started:
                letter = _letter(connection, stage, appliance, domains, outage, ticket.id)
                notices.add(connection, ticket.id, target, _about(outage, stage), LETTER, letter.json(), now, now)
        if stage is Stage.START:
            started = notices.written(connection, _about(outage, stage))


def _about(outage: Outage, stage: Stage) -> str:
    return f"outage {outage.id} {stage}"


def _letter(
    connection: Connection, stage: Stage, appliance: Appliance, domains: tuple[str, ...], outage: Outage, ticket: int
) -> Letter:
    sums = by_outage(connection, (outage.id,)).get(outage.id) if stage is Stage.END else None
    return Letter(
        stage,
        outage.id,
        ticket,
        appliance.name,
        domains,
        appliance.timezone,
        outage.reason,
        outage.began_at,
        outage.returned_at,
        *(
            (
                sums.accepted,
                sums.delivered,
                sums.queued + sums.held,
                sums.bounced + sums.expired + sums.dropped,
            )
            if sums is not None
            else ()
        ),
    )
