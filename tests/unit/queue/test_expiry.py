"""When a queued recipient expires."""

from __future__ import annotations

from relay.queue.backlog import expiry

DAY = 86400.0


def test_mail_expires_after_its_domains_lifetime() -> None:
    """Without an outage behind it, a message expires when its lifetime is over."""
    assert expiry(100.0, 14 * DAY, None) == 100.0 + 14 * DAY


def test_nothing_expires_within_a_day_of_a_return() -> None:
    """Mail that outlived its lifetime while the appliance was away gets a day to be handed back."""
    assert expiry(0.0, 2 * DAY, 10 * DAY) == 11 * DAY


def test_a_return_long_ago_changes_nothing() -> None:
    """The day after a return only ever postpones."""
    assert expiry(20 * DAY, 2 * DAY, 10 * DAY) == 22 * DAY
