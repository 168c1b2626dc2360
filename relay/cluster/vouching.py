"""What nodes vouch for to each other: that an appliance of theirs which counts as up is probed on schedule.

Only by that may another node, which has seen none of its probes, take it for proven up.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from sqlalchemy import Connection, or_, select

from relay.appliances.facts import Health, HealthFact
from relay.appliances.model import RecipientPolicy, WhenUp
from relay.appliances.pulse import Pulse
from relay.appliances.tables import domains
from relay.cluster.tables import owners

BEHIND_MOST = 1000
"""Appliances for which a node says that it doesn't vouch; where there are more it vouches for none."""

_PROVABLE = (
    select(owners.c.appliance_id, owners.c.node)
    .distinct()
    .join(domains, domains.c.appliance_id == owners.c.appliance_id)
    .where(or_(domains.c.when_up == WhenUp.DEFER, domains.c.recipients == RecipientPolicy.LEARNED))
)
"""Appliances of which every node must know whether they are proven up, and who owns them: those with a domain whose
mail is put off then, or whose recipients are asked about."""


def behind(owned: Iterable[int], health: Mapping[int, HealthFact], pulse: Pulse, now: float) -> list[int] | None:
    """What is owned and counts as up, though our probes don't keep their schedule at ``now``, monotonic; None: that is
    too much to say, and we vouch for nothing."""
    late = [
        number
        for number in owned
        if (fact := health.get(number)) and fact.state is Health.UP and not pulse.fresh(number, now)
    ]
    return late if len(late) <= BEHIND_MOST else None


def vouched(connection: Connection, behind: Mapping[str, Collection[int] | None]) -> frozenset[int]:
    """Of those of which that must be known, which are up as far as their owners can tell."""
    vouching = {each: set(numbers) for each, numbers in behind.items() if numbers is not None}
    if not vouching:
        return frozenset()
    found = connection.execute(_PROVABLE.where(owners.c.node.in_(vouching)))
    return frozenset(row.appliance_id for row in found if row.appliance_id not in vouching[row.node])
