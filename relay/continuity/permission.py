"""When the relay may take over, when that becomes a P1 all the same, and when maintenance keeps it quiet. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from relay.appliances.facts import Window
from relay.appliances.model import Activation
from relay.continuity.decision import Facts

ACTIVATE, DEACTIVATE = "activate", "deactivate"
"""What an operator can order."""


def permitted(facts: Facts, now: float) -> bool:
    """Whether the relay may take over at ``now``, if it is proven: an order goes before the policy."""
    if facts.continuity.order is not None:
        return facts.continuity.order == ACTIVATE
    if facts.appliance.activation is Activation.OFF_HOURS:
        return not facts.calendar.is_open(now)
    return facts.appliance.activation is Activation.ALWAYS


def may_become(facts: Facts) -> bool:
    """Whether it may take over now or later, if nobody says otherwise."""
    if facts.continuity.order is not None:
        return facts.continuity.order == ACTIVATE
    return facts.appliance.activation is not Activation.MANUAL


def raise_at(facts: Facts, now: float) -> float | None:
    """When the ticket of a takeover goes back to P1 because business hours begin (past: it has); None for never.

    A takeover that an operator ordered, or that the policy ``always`` asks for, doesn't rest on the hours.
    """
    rests_on_hours = facts.appliance.activation is Activation.OFF_HOURS and facts.continuity.order != ACTIVATE
    if not rests_on_hours or facts.rules.on_business_hours == "keep":
        return None
    opening = facts.calendar.next_opening(now)
    return None if opening is None else opening - facts.rules.raise_before


def closing(facts: Facts, now: float) -> float | None:
    """When the business hours of now end; None where they don't, or it is off hours."""
    return facts.calendar.next_closing(now) if facts.calendar.is_open(now) else None


def window_end(windows: Iterable[Window], at: float) -> float | None:
    """When the maintenance of ``at`` ends, windows that touch counting as one; None where there is none."""
    end = at
    for window in sorted(windows, key=lambda window: window.starts_at):
        if window.starts_at <= end < window.ends_at:
            end = window.ends_at
    return end if end > at else None


def began(facts: Facts, now: float) -> float:
    """When the trouble of now began for the ticket's clocks: with the health, or at the end of the maintenance that
    kept the ticket from being opened."""
    start = facts.health.since
    for window in sorted(facts.windows, key=lambda window: window.starts_at):
        if window.starts_at < start + facts.rules.ticket_after and start < window.ends_at <= now:
            start = window.ends_at
    return start
