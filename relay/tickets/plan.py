"""What the desk has promised: the targets of each support plan, and the hours in which they count. Pure.

The Gold plan is built in; others stand in [support.plans]. Which plan a ticket has is written into its history when
it is opened and reopened, so that a customer's new plan changes nothing about what is under way. What a plan
promises is read from the settings as they are now; so is when the desk is there, and relay.tickets.past_hours knows
when that was otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from relay.appliances.model import GOLD_PLAN
from relay.settings import Support
from relay.tickets.states import Priority

HOUR = 3600.0

Said = tuple[str, str, str]
"""What [support] says of the desk's hours: hours, time zone, holidays."""


class Hours(Protocol):
    """How a :class:`relay.hours.Calendar` measures time."""

    def business_seconds(self, start: float, end: float) -> float: ...

    def add_business_seconds(self, start: float, seconds: float) -> float | None: ...


@dataclass(frozen=True, slots=True)
class Within:
    """Seconds: to be acknowledged, and responded to."""

    acknowledge: float
    respond: float


@dataclass(frozen=True, slots=True)
class Plan:
    name: str
    targets: Mapping[Priority, Within]


GOLD = Plan(
    GOLD_PLAN,
    {
        Priority.P1: Within(HOUR, HOUR),
        Priority.P2: Within(HOUR, 4 * HOUR),
        Priority.P3: Within(HOUR, 8 * HOUR),
    },
)


@dataclass(frozen=True, slots=True)
class Terms:
    """``hours``: the desk's own, in which P2 and P3 run. ``others``: plans beside Gold, by name. ``said``: the hours in
    words, None where the desk always had them."""

    hours: Hours
    others: Mapping[str, Plan] = field(default_factory=dict)
    said: Said | None = None

    @classmethod
    def of(cls, support: Support) -> Terms:
        """As they stand in relay.toml."""
        plans = {
            name: Plan(
                name,
                {
                    Priority[key.upper()]: Within(target.acknowledge, target.respond)
                    for key, target in (("p1", plan.p1), ("p2", plan.p2), ("p3", plan.p3))
                },
            )
            for name, plan in support.plans.items()
        }
        return cls(support.calendar(), plans, (support.hours, support.timezone, support.holidays))

    def plan(self, name: str) -> Plan:
        """The plan of that name; Gold where no setting has it any more, for a ticket must have clocks."""
        return self.others.get(name, GOLD)
