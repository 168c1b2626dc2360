"""Questions about what waits for an appliance, answered from the hot index. Counts are recipients."""

from __future__ import annotations

from sqlalchemy import Connection, Select, func, or_, select, text

from relay.appliances.model import DEFAULT_LIFETIME
from relay.appliances.tables import domains, outages
from relay.queue.states import State
from relay.queue.tables import HOT, PLACES, depths, messages, numbers, recipients

GRACE = 24 * 3600.0
"""Seconds after a return in which nothing expires."""
_STEP = 5000


def queued_of(appliance_id: int) -> Select[tuple[int, int]]:
    """(id, message id) of the queued recipients of an appliance, in the order of their receipt."""
    return (
        select(recipients.c.id, recipients.c.message_id)
        .where(text(HOT), recipients.c.appliance_id == appliance_id, recipients.c.state == State.QUEUED)
        .order_by(recipients.c.id)
    )


def oldest(connection: Connection, appliance_id: int, *, undeferred: bool = False) -> float | None:
    """When the oldest queued message was received; ``undeferred``: of those that no primary has deferred."""
    query = queued_of(appliance_id).limit(1)
    if undeferred:
        query = query.where(recipients.c.next_attempt_at.is_(None))
    first = connection.execute(query).first()
    if first is None:
        return None
    return connection.execute(select(messages.c.received_at).where(messages.c.id == first.message_id)).scalar()


def oldest_waiting(connection: Connection) -> dict[str, float]:
    """By domain, when the oldest of what is queued was received; domains without queued mail are left out."""
    found: dict[str, float] = {}
    queued = select(depths.c.appliance_id, depths.c.domain).group_by(depths.c.appliance_id, depths.c.domain)
    for appliance_id, domain in connection.execute(queued.having(func.sum(depths.c.queued) > 0)).all():
        first = queued_of(appliance_id).where(recipients.c.domain == domain).limit(1).subquery()
        oldest = select(messages.c.received_at).where(messages.c.id == select(first.c.message_id).scalar_subquery())
        received_at = connection.execute(oldest).scalar()
        if received_at is not None:
            found[domain] = min(received_at, found.get(domain, received_at))
    return found


def next_attempt(connection: Connection, appliance_id: int) -> float | None:
    """The nearest retry time of what a primary deferred."""
    return connection.execute(
        select(func.min(recipients.c.next_attempt_at)).where(
            recipients.c.appliance_id == appliance_id, recipients.c.next_attempt_at.is_not(None)
        )
    ).scalar()


def last_number(connection: Connection) -> int:
    """The number of the newest message there ever was; 0 before the first."""
    return int(connection.execute(select(numbers.c.message)).scalar_one())


def untried_since(connection: Connection, appliance_id: int, since: float, upto: int) -> int:
    """How many queued recipients of messages up to number ``upto`` were not tried since then."""
    untried = (
        select(func.count())
        .select_from(recipients)
        .where(
            text(HOT),
            recipients.c.appliance_id == appliance_id,
            recipients.c.state == State.QUEUED,
            recipients.c.id < (upto + 1) * PLACES,
            or_(recipients.c.tried_at.is_(None), recipients.c.tried_at < since),
        )
    )
    return int(connection.execute(untried).scalar_one())


def expiry(received_at: float, lifetime: float, returned_at: float | None) -> float:
    """When a queued recipient expires: after its domain's lifetime, and not within 24 h of its appliance's return."""
    return max(received_at + lifetime, (returned_at or 0.0) + GRACE)


def last_return(connection: Connection, appliance_id: int) -> float | None:
    """When the appliance last came back from an outage."""
    return connection.execute(
        select(func.max(outages.c.returned_at)).where(outages.c.appliance_id == appliance_id)
    ).scalar()


def lifetimes(connection: Connection) -> dict[str, int]:
    """Seconds that mail for each Gold domain may wait, as set now."""
    return {row.name: row.lifetime for row in connection.execute(select(domains.c.name, domains.c.lifetime))}


def expiring(
    connection: Connection, appliance_id: int, at: float, after: int, limit: int
) -> tuple[list[int], int | None]:
    """Queued recipients that will have expired at ``at``, looking at ``limit`` of them past the id ``after``.

    Returns (their ids, the id to go on after; None where no more can have expired).
    """
    lifetime, returned_at = lifetimes(connection), last_return(connection, appliance_id)
    shortest = min(lifetime.values(), default=DEFAULT_LIFETIME)
    query = (
        queued_of(appliance_id)
        .where(recipients.c.id > after)
        .add_columns(recipients.c.domain, messages.c.received_at)
        .join(messages, messages.c.id == recipients.c.message_id)
        .limit(limit)
    )
    expired: list[int] = []
    last: int | None = None
    for last, _, domain, received_at in connection.execute(query):
        if expiry(received_at, min(shortest, DEFAULT_LIFETIME), returned_at) > at:
            return expired, None  # and so for everything that was received later
        if expiry(received_at, lifetime.get(domain, DEFAULT_LIFETIME), returned_at) <= at:
            expired.append(last)
    return expired, last
