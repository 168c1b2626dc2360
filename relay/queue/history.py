"""What delivery asks about the past of recipients, and about what it held itself: for the breaker.

There is no index by address, which every message would pay for: the trace is read through, newest first, in steps
with a transaction each.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, func, select, text

from relay.db import Database
from relay.queue.filter import WINDOW
from relay.queue.statements import statements_on
from relay.queue.states import Reason, State
from relay.queue.tables import HOT, PLACES, recipients, trace


def accepted_between(
    db: Database, appliance_id: int, addresses: Iterable[str], since: float, before: float
) -> set[str]:
    """Those of ``addresses`` (in lower case) for whom an appliance has taken mail in that time. Not for the loop."""
    wanted = set(addresses)
    found: set[str] = set()
    with db.read() as connection:
        last = connection.execute(select(func.max(trace.c.id))).scalar()
    while last is not None and last > 0 and found != wanted:
        first = last - WINDOW + 1
        with db.read() as connection:
            found |= statements_on(connection).delivered(
                appliance_id, sorted(wanted - found), since, before, first, last
            )
            last = connection.execute(select(func.max(trace.c.id)).where(trace.c.id < first)).scalar()
    return found


def held_for(connection: Connection, appliance_id: int, reason: Reason) -> int:
    """How many recipients of an appliance are held for a reason."""
    held = (
        select(func.count())
        .select_from(recipients)
        .where(
            text(HOT),
            recipients.c.appliance_id == appliance_id,
            recipients.c.state == State.HELD,
            recipients.c.reason == reason,
        )
    )
    return int(connection.execute(held).scalar_one())


def next_held(connection: Connection, appliance_id: int, reason: Reason, after: int) -> int | None:
    """The first message beyond number ``after`` that has recipients held for a reason; None where there is none."""
    held = (
        select(recipients.c.id)
        .where(
            text(HOT),
            recipients.c.appliance_id == appliance_id,
            recipients.c.state == State.HELD,
            recipients.c.reason == reason,
            recipients.c.id >= (after + 1) * PLACES,
        )
        .order_by(recipients.c.id)
        .limit(1)
    )
    found = connection.execute(held).scalar()
    return None if found is None else int(found) // PLACES
