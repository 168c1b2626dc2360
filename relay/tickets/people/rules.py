"""Who is told of what happens to a ticket, and when. Pure: rules and what happened in, tellings out.

A rule names people, the tickets that it is about, priorities, what they want to hear of, and hours. What happens
outside of the hours waits until they begin. Where several rules name the same person, they are told once, by the rule
that does so first. Who was told of a ticket is told of its end, whatever its priority is by then.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from relay.hours import Calendar
from relay.tickets.states import Condition, Event, Priority

CONTACT = "contact "
"""How the names of targets begin that are a customer's own contacts; their address follows."""


class Happening(StrEnum):
    """What a rule may ask for; the settings have the same words (relay.settings.Happening).

    ``opened``: also reopened. ``returned``, ``drained``: the appliance answers again; all that waited was tried.
    ``comment``: any other, the relay's with its proofs as well as a person's.
    """

    OPENED = "opened"
    RAISED = "raised"
    LOWERED = "lowered"
    ACKNOWLEDGED = "acknowledged"
    RESPONDED = "responded"
    COMMENT = "comment"
    RETURNED = "returned"
    DRAINED = "drained"
    WARNING_50 = "warning-50"
    WARNING_75 = "warning-75"
    BREACH = "breach"
    RESOLVED = "resolved"


_SAME = {
    Event.OPENED: Happening.OPENED,
    Event.REOPENED: Happening.OPENED,
    Event.ACKNOWLEDGED: Happening.ACKNOWLEDGED,
    Event.ASSIGNED: Happening.ACKNOWLEDGED,
    Event.RESPONDED: Happening.RESPONDED,
    Event.BREACH: Happening.BREACH,
    Event.RESOLVED: Happening.RESOLVED,
}
OF_PEOPLE = "people"
"""The key in the data of a comment that says that somebody couldn't be told: nobody is told of that."""


def happening(event: Event, before: int | None, after: int | None, data: Mapping[str, Any]) -> Happening | None:
    """What a line of the history is to people; None where it is nothing to them. ``before``, ``after``: priorities."""
    match event:
        case Event.PRIORITY:
            return Happening.RAISED if (after or 0) < (before or 0) else Happening.LOWERED
        case Event.WARNING:
            return Happening.WARNING_50 if data.get("percent") == 50 else Happening.WARNING_75
        case Event.COMMENT if OF_PEOPLE in data:
            return None
        case Event.COMMENT:
            return Happening(data["about"]) if "about" in data else Happening.COMMENT
        case _:
            return _SAME.get(event)


@dataclass(frozen=True, slots=True)
class Rule:
    """``targets``: names of those to tell; ``contacts``: the customer's own too. Empty sets mean all."""

    name: str
    targets: tuple[str, ...]
    priorities: frozenset[Priority]
    happenings: frozenset[Happening]
    hours: Calendar = Calendar.parse("always")  # noqa: RUF009 - it never changes
    contacts: bool = False
    customers: frozenset[str] = frozenset()
    appliances: frozenset[str] = frozenset()
    domains: frozenset[str] = frozenset()
    conditions: frozenset[Condition] = frozenset()

    def covers(self, customer: str, appliance: str, domains: Iterable[str]) -> bool:
        """Whether it is about tickets of this appliance."""
        return (
            (not self.customers or customer in self.customers)
            and (not self.appliances or appliance in self.appliances)
            and (not self.domains or not self.domains.isdisjoint(domains))
        )


@dataclass(frozen=True, slots=True)
class News:
    """What happened to a ticket. ``before``, ``priority``: the ticket's, before it and afterwards. ``contacts``: the
    customer's own, as they are now."""

    happening: Happening
    at: float
    before: Priority
    priority: Priority
    condition: Condition
    customer: str
    appliance: str
    domains: tuple[str, ...]
    contacts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Telling:
    """``due_at``: not before that."""

    target: str
    due_at: float


def tellings(rules: Iterable[Rule], news: News, told: Container[str]) -> tuple[Telling, ...]:
    """Who is to be told of ``news``. ``told``: who was told of this ticket before."""
    found: dict[str, float] = {}
    for rule in rules:
        due = rule.hours.next_opening(news.at)
        if due is None or not _about(rule, news):
            continue
        for target in _people(rule, news):
            if _wants(rule, news, target in told):
                found[target] = min(due, found.get(target, due))
    return tuple(Telling(target, due) for target, due in found.items())


def ends_for(rules: Iterable[Rule], news: News, target: str) -> bool:
    """Whether with ``news`` a ticket is no concern of ``target`` any more: resolved, or lowered below all it is told
    of."""
    if news.happening is Happening.RESOLVED:
        return True
    concerned = [rule for rule in rules if target in rule.targets and _about(rule, news)]
    return news.happening is Happening.LOWERED and not any(news.priority in rule.priorities for rule in concerned)


def _about(rule: Rule, news: News) -> bool:
    wanted = not rule.conditions or news.condition in rule.conditions
    return wanted and rule.covers(news.customer, news.appliance, news.domains)


def _people(rule: Rule, news: News) -> tuple[str, ...]:
    """Of mail flow the customer's own contacts hear by themselves (relay.tickets.people.letters)."""
    if not rule.contacts or news.condition is Condition.MAILFLOW:
        return rule.targets
    return (*rule.targets, *(f"{CONTACT}{address}" for address in news.contacts))


def _wants(rule: Rule, news: News, told: bool) -> bool:
    if news.happening not in rule.happenings:
        return False
    match news.happening:
        case Happening.RESOLVED:
            return told or news.priority in rule.priorities
        case Happening.LOWERED:
            return news.before in rule.priorities or news.priority in rule.priorities
        case _:
            return news.priority in rule.priorities
