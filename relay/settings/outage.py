"""Sections about outages: when a primary counts as down, when the relay takes over, what support then promises."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from relay.hours import Calendar
from relay.settings.section import Duration, Listen, Positive, Section
from relay.values import check_zone

PROOFS = ("dns", "loop", "space", "expiry", "recipients", "tls")


class Watch(Section):
    """How primaries are probed; seconds and counts. ``references``: host:port that tell whether we are cut off."""

    interval: Positive = 30.0
    down_interval: Positive = 2.0
    connect_timeout: Positive = 5.0
    reply_timeout: Positive = 30.0
    down_after: int = Field(default=3, ge=1)
    up_after: int = Field(default=2, ge=1)
    references: list[Listen] = []


class Continuity(Section):
    """When the relay takes over and gives back; seconds."""

    ticket_after: float = Field(default=60, ge=0)
    settle: float = Field(default=600, ge=0)
    proof_after: float = Field(default=600, ge=0)
    on_business_hours: Literal["raise", "keep"] = "raise"
    raise_before: float = Field(default=1800, ge=0)
    skip_proofs: list[Literal["dns", "loop", "space", "expiry", "recipients", "tls"]] = []


class Within(Section):
    """Times to acknowledge and to respond, such as "1h"."""

    acknowledge: Duration
    respond: Duration


class Plan(Section):
    """What a support plan promises at each priority."""

    p1: Within
    p2: Within
    p3: Within


def _plan_name(text: str) -> str:
    if text == "gold":
        raise ValueError("the plan gold is built in; give yours another name")
    if not re.fullmatch(r"[a-z0-9_-]+", text):
        raise ValueError(f"{text!r} should be a name in small letters, digits, - and _")
    return text


class Support(Section):
    """The desk's own hours, in which P2 and P3 clocks run; ``plans``: those beside Gold, which is built in."""

    hours: str = "Mon-Fri 09:00-18:00"
    timezone: Annotated[str, AfterValidator(check_zone)] = "UTC"
    holidays: str = ""
    plans: dict[Annotated[str, AfterValidator(_plan_name)], Plan] = {}

    def calendar(self) -> Calendar:
        return Calendar.parse(self.hours, self.timezone, self.holidays)
