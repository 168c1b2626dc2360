"""The address book: the rules and addresses of [notify], read once from the settings and checked in full.

A target is one Apprise URL, under a name that is told and stored in its stead, for URLs hold secrets: the name of the
first rule that has it, ``oncall``, and ``oncall#2`` for its second. So a new token changes nothing about who a message
is for.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from relay.errors import SettingsError
from relay.mail import normalise_domain
from relay.settings import Settings
from relay.tickets.people.message import Reach
from relay.tickets.people.rules import Happening, Rule
from relay.tickets.states import Condition, Priority

MAIL = "mail"
"""The name in ``reach`` of the mail server for contacts; a target's has a rule's name, or a # in it."""
EVERYONE = "everyone"
"""The rules that [notify] urls stand for."""
_OF_A_P1 = frozenset(
    {Happening.OPENED, Happening.RAISED, Happening.LOWERED, Happening.WARNING_75, Happening.BREACH, Happening.RESOLVED}
)
_SHORT_WAY = (({Priority.P1}, _OF_A_P1), (set(Priority), frozenset({Happening.BREACH})))
"""Of a P1 everything that matters, of the others a breach."""


@dataclass(frozen=True, slots=True)
class Book:
    """``urls``: of each target, by name. ``mail``: the URL of the mail server for customers' contacts; empty for none.
    ``reach``: where each target leads, and MAIL. ``zone``: the desk's, for times that people read."""

    rules: tuple[Rule, ...] = ()
    urls: Mapping[str, str] = field(default_factory=dict)
    mail: str = ""
    reach: Mapping[str, Reach] = field(default_factory=dict)
    zone: ZoneInfo = ZoneInfo("UTC")  # noqa: RUF009 - it never changes

    def __bool__(self) -> bool:
        """Whether anybody is told anything."""
        return bool(self.urls or self.mail)

    @classmethod
    def of(cls, settings: Settings) -> Book:
        """As it stands in relay.toml. Raises SettingsError where a URL isn't one that Apprise understands."""
        notify, names = settings.notify, dict[str, str]()
        everyone = _targets(EVERYONE, notify.urls, names)
        rules = [
            Rule(EVERYONE, everyone, priorities=frozenset(priorities), happenings=happenings)
            for priorities, happenings in _SHORT_WAY
            if everyone
        ]
        for rule in notify.rules:
            try:
                domains = frozenset(map(normalise_domain, rule.domains))
            except ValueError as error:
                raise SettingsError(f"[[notify.rules]] {rule.name}: domains: {error}") from None
            rules.append(
                Rule(
                    rule.name,
                    _targets(rule.name, rule.urls, names),
                    frozenset(map(Priority, rule.priorities)),
                    frozenset(map(Happening, rule.events)),
                    rule.calendar(settings.support),
                    rule.contacts,
                    frozenset(rule.customers),
                    frozenset(rule.appliances),
                    domains,
                    frozenset(map(Condition, rule.conditions)),
                )
            )
        zone = ZoneInfo(settings.support.timezone)
        urls = {name: url for url, name in names.items()}
        reach = _reach(urls | ({MAIL: notify.mail} if notify.mail else {}))
        return cls(tuple(rules), urls, notify.mail, reach, zone)


def slow_to_read(settings: Settings) -> bool:
    """Whether reading the address book would hold up an event loop, for Apprise isn't loaded yet."""
    notify = settings.notify
    return bool(notify.urls or notify.mail or notify.rules) and "relay.tickets.people.targets" not in sys.modules


def get_ready() -> None:
    """Load what reading an address book needs."""
    from relay.tickets.people import targets

    targets.load("json://localhost")  # with its first URL Apprise loads all that it has


def _reach(urls: Mapping[str, str]) -> Mapping[str, Reach]:
    if not urls:
        return {}
    from relay.tickets.people import targets  # it loads Apprise, which takes a third of a second

    return targets.reach(urls)


def _targets(rule: str, urls: list[str], names: dict[str, str]) -> tuple[str, ...]:
    """The names of ``urls``; those that have none yet get one."""
    for number, url in enumerate(urls, 1):
        names.setdefault(url, rule if number == 1 else f"{rule}#{number}")
    return tuple(dict.fromkeys(names[url] for url in urls))
