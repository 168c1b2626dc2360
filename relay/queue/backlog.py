"""Questions about what waits for an appliance, answered from the hot index. Counts are recipients."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, Select, func, or_, select, text

from relay.appliances.model import DEFAULT_LIFETIME
from relay.appliances.tables import domains, outages
from relay.queue.model import Waiting
from relay.queue.states import State
from relay.queue.sums import Depth
from relay.queue.tables import HOT, PLACES, depths, messages, numbers, recipients

GRACE = 24 * 3600.0
"""Seconds after a return in which nothing expires."""
HEAD = 5000
"""Recipients at the head of a backlog among which the first of each domain is looked for."""


_LAST_DRAWN = "SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END FROM message_numbers"


def queued_of(appliance_id: int) -> Select[tuple[int, int]]:
    """(id, message id) of the queued recipients of an appliance, in the order of their receipt."""
    return (
        select(recipients.c.id, recipients.c.message_id)
        .where(text(HOT), recipients.c.appliance_id == appliance_id, recipients.c.state == State.QUEUED)
        .order_by(recipients.c.id)
    )


def waiting(connection: Connection, appliance_id: int, depth: Depth) -> Waiting:
    """What waits for an appliance, ``depth`` being how much that is."""
    queued = queued_of(appliance_id)
    deferred = select(func.min(recipients.c.next_attempt_at)).where(
        recipients.c.appliance_id == appliance_id, recipients.c.next_attempt_at.is_not(None)
    )
    return Waiting(
        depth.queued,
        depth.held,
        _first_received(connection, queued),
        _first_received(connection, queued.where(recipients.c.next_attempt_at.is_(None))),
        connection.execute(deferred).scalar(),
    )


def _first_received(connection: Connection, queued: Select[tuple[int, int]]) -> float | None:
    """When the first of these recipients' messages was received."""
    first = queued.limit(1).subquery()
    query = select(messages.c.received_at).where(messages.c.id == select(first.c.message_id).scalar_subquery())
    return connection.execute(query).scalar()


def counts(connection: Connection) -> dict[str, tuple[int, int]]:
    """By domain, how many recipients are queued and held; from the depths, which know no outages and stay few."""
    query = select(depths.c.domain, func.sum(depths.c.queued), func.sum(depths.c.held)).group_by(depths.c.domain)
    return {domain: (int(queued), int(held)) for domain, queued, held in connection.execute(query)}


def handable(connection: Connection, appliance_ids: Iterable[int], now: float) -> dict[int, tuple[int, int]]:
    """By appliance, how many queued recipients may be handed over now, and how many its primary has put off."""
    wanted = list(appliance_ids)
    queued = (
        select(depths.c.appliance_id, func.sum(depths.c.queued))
        .where(depths.c.appliance_id.in_(wanted))
        .group_by(depths.c.appliance_id)
    )
    deferred = (
        select(recipients.c.appliance_id, func.count())
        .where(recipients.c.appliance_id.in_(wanted), recipients.c.next_attempt_at > now)
        .group_by(recipients.c.appliance_id)
    )
    later: dict[int, int] = {row[0]: row[1] for row in connection.execute(deferred)}
    return {
        number: (max(0, int(count) - later.get(number, 0)), later.get(number, 0))
        for number, count in connection.execute(queued)
    }


def oldest_waiting(connection: Connection, appliance_id: int | None = None) -> dict[str, float]:
    """By domain, when the oldest of what is queued was received, for all appliances or for one; domains without queued
    mail are left out.

    Two statements for all of them: the first looks for each domain's first recipient near the head of its appliance's
    backlog; one that is further behind costs the second, which goes through the whole backlog once.
    """
    waiting = select(depths.c.appliance_id, depths.c.domain).group_by(depths.c.appliance_id, depths.c.domain)
    if appliance_id is not None:
        waiting = waiting.where(depths.c.appliance_id == appliance_id)
    queued = waiting.having(func.sum(depths.c.queued) > 0).subquery()
    of_appliance = (
        text(HOT),
        recipients.c.appliance_id == queued.c.appliance_id,
        recipients.c.state == State.QUEUED,
    )
    head = (
        select(recipients.c.message_id, recipients.c.domain)
        .where(*of_appliance)
        .order_by(recipients.c.id)
        .limit(HEAD)
        .correlate(queued)
        .subquery()
    )
    first = (
        select(func.min(head.c.message_id)).where(head.c.domain == queued.c.domain).correlate(queued).scalar_subquery()
    )
    received = select(messages.c.received_at).where(messages.c.id == first).correlate(queued).scalar_subquery()
    found: dict[str, float] = {}
    behind: set[tuple[int, str]] = set()
    for appliance_id, domain, received_at in connection.execute(select(queued, received)):
        if received_at is None:
            behind.add((appliance_id, domain))
        else:
            found[domain] = min(received_at, found.get(domain, received_at))
    if behind:
        firsts = (
            select(recipients.c.domain, func.min(recipients.c.message_id).label("number"))
            .where(
                text(HOT),
                recipients.c.appliance_id.in_({appliance_id for appliance_id, _ in behind}),
                recipients.c.state == State.QUEUED,
                recipients.c.domain.in_({domain for _, domain in behind}),
            )
            .group_by(recipients.c.domain)
            .subquery()
        )
        query = select(firsts.c.domain, messages.c.received_at).join(messages, messages.c.id == firsts.c.number)
        for domain, received_at in connection.execute(query):
            found[domain] = min(received_at, found.get(domain, received_at))
    return found


def last_number(connection: Connection) -> int:
    """The number of the newest message there ever was; 0 before the first."""
    if connection.dialect.name == "postgresql":
        return int(connection.execute(text(_LAST_DRAWN)).scalar_one())
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


def last_returns(connection: Connection) -> dict[int, float]:
    """The same of every appliance that ever did."""
    query = select(outages.c.appliance_id, func.max(outages.c.returned_at)).group_by(outages.c.appliance_id)
    return {number: at for number, at in connection.execute(query) if at is not None}


def lifetimes(connection: Connection, appliance_id: int) -> dict[str, int]:
    """Seconds that mail for each Gold domain that has or had mail for an appliance may wait, as set now; the domain
    may be another's meanwhile."""
    names = select(depths.c.domain).where(depths.c.appliance_id == appliance_id)
    query = select(domains.c.name, domains.c.lifetime).where(domains.c.name.in_(names))
    return {row.name: row.lifetime for row in connection.execute(query)}


def expiring(
    connection: Connection, appliance_id: int, at: float, after: int, limit: int
) -> tuple[list[int], int | None]:
    """Queued recipients that will have expired at ``at``, looking at ``limit`` of them past the id ``after``.

    Returns (their ids, the id to go on after; None where no more can have expired).
    """
    lifetime, returned_at = lifetimes(connection, appliance_id), last_return(connection, appliance_id)
    if not after and all(
        expiry(oldest, lifetime.get(domain, DEFAULT_LIFETIME), returned_at) > at
        for domain, oldest in oldest_waiting(connection, appliance_id).items()
    ):
        return [], None  # of a long backlog only what may have expired is gone through
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
