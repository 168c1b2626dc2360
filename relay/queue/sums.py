"""What is in the queue now, in memory: asked at every RCPT and every decision, so it costs no query.

The writer's thread adds what it commits and, when another process has changed the database, reads the sums anew;
the event loop only reads. Never more than about a second old.
"""

from __future__ import annotations

from dataclasses import dataclass

from relay.queue.ledger import Deltas
from relay.queue.statements import Statements


@dataclass(frozen=True, slots=True)
class Depth:
    """Recipients queued and held, and the bytes and the number of the messages that they belong to.

    A message for two domains counts for both.
    """

    queued: int = 0
    held: int = 0
    bytes: int = 0
    messages: int = 0

    def plus(self, queued: int, held: int, size: int, messages: int) -> Depth:
        return Depth(self.queued + queued, self.held + held, self.bytes + size, self.messages + messages)


_NOTHING = Depth()


class Sums:
    """By appliance and by domain."""

    def __init__(self) -> None:
        self._appliances: dict[int, Depth] = {}
        self._domains: dict[str, Depth] = {}

    def appliance(self, appliance_id: int) -> Depth:
        return self._appliances.get(appliance_id, _NOTHING)

    def domain(self, name: str) -> Depth:
        return self._domains.get(name, _NOTHING)

    def domains(self) -> dict[str, Depth]:
        """Every domain that has or had mail here."""
        return dict(self._domains)

    def add(self, deltas: Deltas) -> None:
        for (appliance_id, domain), change in deltas.depths.items():
            self._appliances[appliance_id] = self.appliance(appliance_id).plus(*change)
            self._domains[domain] = self.domain(domain).plus(*change)

    def read(self, statements: Statements) -> None:
        """Take the sums from the database."""
        appliances: dict[int, Depth] = {}
        domains: dict[str, Depth] = {}
        sums = "sum(queued), sum(held), sum(bytes), sum(messages)"
        query = f"SELECT appliance_id, domain, {sums} FROM depths GROUP BY 1, 2"  # noqa: S608
        for appliance_id, domain, *counts in statements.execute(query):
            numbers = [int(count) for count in counts]
            appliances[appliance_id] = appliances.get(appliance_id, _NOTHING).plus(*numbers)
            domains[domain] = domains.get(domain, _NOTHING).plus(*numbers)
        self._appliances, self._domains = appliances, domains
