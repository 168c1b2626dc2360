"""What a notice tells, as it is kept until it is sent: plain frozen values. Times are POSIX seconds.

Everything that the words need is here, so that a message reads the same however often, and by whichever node, it is
sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from relay.tickets.people.rules import Happening
from relay.tickets.states import RELAY, Condition

_PAGES = {Happening.OPENED, Happening.RAISED, Happening.WARNING_50, Happening.WARNING_75, Happening.BREACH}


@dataclass(frozen=True, slots=True)
class Told:
    """One thing that happened to a ticket, and how the ticket stood then.

    ``number``: of the line in its history. ``before``: the priority before. ``acknowledge_due``, ``respond_due``: None
    where that was done, or no clock runs. ``ends``: it is no concern of theirs any more.
    """

    number: int
    happening: Happening
    at: float
    actor: str
    reason: str
    ticket: int
    before: int
    priority: int
    condition: Condition
    customer: str
    appliance: str
    domains: tuple[str, ...]
    assignee: str | None
    acknowledge_due: float | None
    respond_due: float | None
    ends: bool = False

    @property
    def pages(self) -> bool:
        """Whether it is worth to wake somebody."""
        return self.happening in _PAGES

    @property
    def by_relay(self) -> bool:
        return self.actor == RELAY

    def json(self) -> dict[str, Any]:
        return {**asdict(self), "domains": list(self.domains)}

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Told:
        return cls(
            **{
                **facts,
                "happening": Happening(facts["happening"]),
                "condition": Condition(facts["condition"]),
                "domains": tuple(facts["domains"]),
            }
        )
