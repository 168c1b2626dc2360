"""Sections about who sees tickets: the helpdesk, and the people who are told."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import NoDecode

from relay.hours import Calendar
from relay.settings.outage import Support
from relay.settings.section import Positive, Section
from relay.values import check_secret

OWN_RULES = ("everyone", "contacts", "mail")
"""Names in [notify] that no rule of a person's may have: of the short way, and of the customers' own contacts."""
Happening = Literal[
    "opened",
    "raised",
    "lowered",
    "acknowledged",
    "responded",
    "comment",
    "returned",
    "drained",
    "warning-50",
    "warning-75",
    "breach",
    "resolved",
]
"""What people are told of tickets; see relay.tickets.people.rules."""


def _secrets(given: Any) -> Any:
    """One secret is a list of one; a variable gives a list as JSON."""
    if isinstance(given, str):
        return json.loads(given) if given.startswith("[") else (given,)
    return given


class Helpdesk(Section):
    """Where tickets are shown to people; deploy/helpdesk.md tells more.

    ``url``, ``token``, ``queue``: Request Tracker's, or the receiver's address. ``secret``: of webhooks in both
    directions, or a list of them: all sign, each is believed. ``priorities`` and ``sla``: what P1, P2 and P3 are
    there. ``field``: RT's custom field for our ticket; ``customer_field``: the one with the customer's name, where it
    has one. ``poll``: seconds between looks at what people did there. ``listen``: where they report it themselves.
    ``allow_private``: webhooks may go to addresses that aren't public, and unencrypted.
    """

    kind: Literal["embedded", "rt", "webhook"] = "embedded"
    url: str = ""
    token: str = ""
    queue: str = ""
    secret: Annotated[
        tuple[Annotated[str, AfterValidator(check_secret)], ...], NoDecode, BeforeValidator(_secrets)
    ] = ()
    priorities: dict[Literal["P1", "P2", "P3"], int] = {}
    sla: dict[Literal["P1", "P2", "P3"], str] = {}
    field: str = Field(default="RelayIncident", min_length=1)
    customer_field: str = ""
    poll: Positive = 15.0
    listen: str = ""
    allow_private: bool = False


def _rule_name(text: str) -> str:
    if text in OWN_RULES:
        raise ValueError(f"{text!r} is the relay's own; give your rule another name")
    if not re.fullmatch(r"[a-z0-9_-]+", text):
        raise ValueError(f"{text!r} should be a name in small letters, digits, - and _")
    return text


def _notify_url(text: str) -> str:
    if not re.match(r"[A-Za-z0-9]{2,12}://\S", text) or not text.isprintable() or "://" in text.partition("://")[2]:
        raise ValueError("should be one URL of Apprise, such as mailtos://user:password@smtp.desk.example?to=…")
    return text


NotifyUrl = Annotated[str, AfterValidator(_notify_url)]


class Rule(Section):
    """Who is told what of which tickets, and when.

    ``urls``: Apprise's; ``contacts``: the customer's own, by [notify] mail, of anything but mail flow, of which they
    hear by themselves. ``customers``, ``appliances``, ``domains``, ``conditions``: empty for all. ``priorities``: of
    the ticket then. ``hours``: always, desk, or hours of its own (in ``timezone``, empty for the desk's); what happens
    outside of them waits for their beginning.
    """

    name: Annotated[str, AfterValidator(_rule_name)]
    urls: list[NotifyUrl] = []
    contacts: bool = False
    customers: list[str] = []
    appliances: list[str] = []
    domains: list[str] = []
    conditions: list[Literal["mailflow", "mx", "certificate", "recipients", "backup", "quota", "contract"]] = []
    priorities: Annotated[list[Literal[1, 2, 3]], Field(min_length=1)] = [1, 2, 3]
    events: Annotated[list[Happening], Field(min_length=1)] = [
        "opened",
        "raised",
        "lowered",
        "warning-75",
        "breach",
        "resolved",
    ]
    hours: str = "always"
    timezone: str = ""
    holidays: str = ""

    def calendar(self, desk: Support) -> Calendar:
        """Raises ValueError."""
        if self.hours == "desk":
            return desk.calendar()
        return Calendar.parse(self.hours, self.timezone or desk.timezone, self.holidays)


class Notify(Section):
    """Whom to tell of tickets: *Who gets what, when* in deploy/runbook.md tells more.

    ``urls``: the short way: these are told of every P1, of what becomes of it, and of every breach. ``mail``: the
    operator's own mail server, by which the customers' contacts are written to (Apprise's mailto or mailtos).
    """

    urls: list[NotifyUrl] = []
    mail: Annotated[str, AfterValidator(lambda text: text and _notify_url(text))] = ""
    rules: list[Rule] = []
