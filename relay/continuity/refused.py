"""Says in the ticket of an outage that the appliance is back and refuses everything: that needs a person.

A primary that answers 5xx to whatever comes has not returned (``decide``): nothing is handed back, nothing is resolved,
and the priority stays as it is. So that this isn't taken for a drain that is on its way, it is told: once for each
reason, however often it comes and goes, for the relay tries again every ten minutes.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection

from relay.appliances.facts import REFUSED, HealthFact
from relay.continuity.carry import tell
from relay.continuity.case import Case
from relay.db import Database
from relay.tickets import store
from relay.tickets.states import Condition
from relay.tickets.tables import tickets


async def tell_refusals(cases: Iterable[Case], db: Database, now: float) -> None:
    """For those of ``cases`` that have an outage, and a ticket."""
    for case in cases:
        if case.outage is None or case.continuity.priority is None:
            case.refused = ""
        elif (text := words(case.appliance.name, case.health)) and text != case.refused:
            await db.change(_tell_once, case.appliance.id, text, now)
            case.refused = text


def words(appliance: str, health: HealthFact) -> str:
    """What is to be said while an appliance refuses everything; empty where it doesn't."""
    if not health.refuses:
        return ""
    reason = health.reason.removeprefix(REFUSED).removeprefix(": ")
    return (
        f"{appliance} answers again, but refuses all mail from here: {reason}. Nothing is handed back until it takes "
        "mail; what waits is kept. Whoever looks after it should let this relay in."
    )


def _tell_once(connection: Connection, appliance_id: int, text: str, now: float) -> None:
    """A node that starts in the middle of it finds what was said before."""
    ticket = store.latest(connection, appliance_id, Condition.MAILFLOW)
    if ticket is not None:
        said = store.histories(connection, tickets.c.id == ticket.id).get(ticket.id, ())
        if not said or text not in {entry.reason for entry in said}:
            tell(connection, appliance_id, text, now)
