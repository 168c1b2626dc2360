"""The ledger: per domain and outage, in recipients, accepted = delivered + bounced + expired + dropped + queued + held.

Nobody counts rows for it: each transaction that changes mail adds what it changed (:class:`Deltas`) to rows of its own
node, in key order, and reading sums them. ``relayctl db check`` (relay.queue.verify) compares them with the rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from relay.queue.states import State
from relay.queue.tables import ledger as ledger_table

COLUMNS = ("accepted", "delivered", "bounced", "expired", "dropped", "queued", "held")
_PLACE = {name: place for place, name in enumerate(COLUMNS)}


@dataclass(frozen=True, slots=True)
class Ledger:
    """One domain's sums, in recipients."""

    domain: str
    accepted: int
    delivered: int
    bounced: int
    expired: int
    dropped: int
    queued: int
    held: int

    @property
    def balanced(self) -> bool:
        return self.accepted == (self.delivered + self.bounced + self.expired + self.dropped + self.queued + self.held)


def ledger(connection: Connection, domain: str | None = None, outage: int | None = None) -> list[Ledger]:
    """The sums of one domain or of all that ever had mail, by name; of one outage or of all time."""
    query = (
        select(ledger_table.c.domain, *(func.sum(ledger_table.c[name]) for name in COLUMNS))
        .group_by(ledger_table.c.domain)
        .order_by(ledger_table.c.domain)
    )
    if domain is not None:
        query = query.where(ledger_table.c.domain == domain)
    if outage is not None:
        query = query.where(ledger_table.c.outage_id == outage)
    rows = [Ledger(name, *(int(count) for count in counts)) for name, *counts in connection.execute(query)]
    return [row for row in rows if row.accepted or outage is None]


def by_outage(connection: Connection, outages: Collection[int]) -> dict[int, Ledger]:
    """The sums of each of these outages over all its domains; an outage that no mail came for is left out."""
    query = (
        select(ledger_table.c.outage_id, *(func.sum(ledger_table.c[name]) for name in COLUMNS))
        .where(ledger_table.c.outage_id.in_(outages))
        .group_by(ledger_table.c.outage_id)
    )
    return {number: Ledger("", *(int(count) for count in counts)) for number, *counts in connection.execute(query)}


class Deltas:
    """What one transaction changes in the sums: of the ledger, of what is here now, of what came this hour."""

    __slots__ = ("arrivals", "depths", "ledger")

    def __init__(self) -> None:
        self.ledger: defaultdict[tuple[str, int], list[int]] = defaultdict(lambda: [0] * len(COLUMNS))
        """(domain, outage) → COLUMNS"""
        self.depths: defaultdict[tuple[int, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        """(appliance, domain) → queued, held, bytes, messages"""
        self.arrivals: defaultdict[tuple[str, int], int] = defaultdict(int)
        """(domain, hour) → bytes"""

    def accepted(self, appliance_id: int, domain: str, outage_id: int, recipients: int, size: int, at: float) -> None:
        """A message of ``size`` bytes came for so many recipients of a domain."""
        row = self.ledger[domain, outage_id]
        row[0] += recipients
        row[_PLACE[State.QUEUED]] += recipients
        depth = self.depths[appliance_id, domain]
        depth[0] += recipients
        depth[2] += size
        depth[3] += 1
        self.arrivals[domain, int(at // 3600)] += size

    def moved(self, appliance_id: int, domain: str, outage_id: int, before: str, after: str) -> None:
        """One recipient went from a state to another."""
        row = self.ledger[domain, outage_id]
        row[_PLACE[before]] -= 1
        row[_PLACE[after]] += 1
        depth = self.depths[appliance_id, domain]
        depth[0] += (after == State.QUEUED) - (before == State.QUEUED)
        depth[1] += (after == State.HELD) - (before == State.HELD)

    def recounted(self, domain: str, state: str, before: int, after: int) -> None:
        """One recipient is counted for another outage from now on."""
        for outage_id, sign in ((before, -1), (after, 1)):
            row = self.ledger[domain, outage_id]
            row[0] += sign
            row[_PLACE[state]] += sign

    def removed(self, appliance_id: int, domain: str, size: int) -> None:
        """A message left that had recipients at this domain."""
        depth = self.depths[appliance_id, domain]
        depth[2] -= size
        depth[3] -= 1

    def rows(self, node: str) -> Iterator[tuple[str, tuple[str, ...], tuple[str, ...], list[tuple[Any, ...]]]]:
        """(table, key columns, columns of sums, rows of ``node`` to be added to what is there, in key order)."""
        yield (
            "ledger",
            ("domain", "node", "outage_id"),
            COLUMNS,
            [(domain, node, outage, *sums) for (domain, outage), sums in sorted(self.ledger.items()) if any(sums)],
        )
        yield (
            "depths",
            ("appliance_id", "domain", "node"),
            ("queued", "held", "bytes", "messages"),
            [(number, domain, node, *sums) for (number, domain), sums in sorted(self.depths.items()) if any(sums)],
        )
        yield (
            "arrivals",
            ("domain", "hour", "node"),
            ("bytes",),
            [(domain, hour, node, size) for (domain, hour), size in sorted(self.arrivals.items())],
        )
