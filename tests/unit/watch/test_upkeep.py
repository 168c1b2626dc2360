"""What a customer's set-up needs in time: when it is said, and when no longer."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from relay.appliances.model import Activation, Appliance, Domain, Primary, RecipientPolicy, WhenUp
from relay.queue.sums import Depth
from relay.watch.certificates import expiring
from relay.watch.upkeep import needs

DAY = 86400.0
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()
ACME = Appliance(
    1, "acme", "Acme Ltd", (), "always", "UTC", "", Activation.OFF_HOURS, (), False, (), 0.0, backup_every=7 * 86400
)
DOMAIN = Domain(1, "acme.example", 1, RecipientPolicy.ANY, WhenUp.RELAY, 14 * 86400, 1000, None, 0.0, quota_messages=10)
EMPTY = Depth()


def wrong(
    *,
    backup_at: float | None = NOW,
    domain: Domain = DOMAIN,
    depth: Depth = EMPTY,
    before: str = "",
    appliance: Appliance = ACME,
) -> dict[tuple[str, str], str]:
    return needs(appliance, [domain], backup_at, lambda _: depth, {("acme.example", "quota"): before}, NOW)


def test_nothing_is_wrong_with_a_set_up_that_is_looked_after() -> None:
    """A fresh backup, an empty queue, a contract without an end."""
    assert wrong() == {}


@pytest.mark.parametrize(
    ("age", "said"), [(None, "no backup"), (6.99 * DAY, ""), (7 * DAY, "its last backup is of 2026-11-16")]
)
def test_a_backup_is_old_past_its_limit(age: float | None, said: str) -> None:
    """None at all is as bad as an old one, and without a limit nothing is."""
    found = wrong(backup_at=None if age is None else NOW - age)
    assert bool(found) == bool(said)
    assert said in found.get(("", "backup"), "")
    assert wrong(backup_at=None, appliance=replace(ACME, backup_every=0)) == {}


@pytest.mark.parametrize(
    ("depth", "before", "said"),
    [
        (Depth(bytes=799), "", ""),
        (Depth(bytes=800), "", "bytes"),
        (Depth(bytes=701), "bytes", "bytes"),
        (Depth(bytes=699), "bytes", ""),
        (Depth(bytes=701), "messages", ""),
        (Depth(messages=7), "", ""),
        (Depth(messages=8), "", "messages"),
        (Depth(messages=7), "messages", "messages"),
        (Depth(messages=6), "messages", ""),
        (Depth(bytes=900, messages=9), "messages", "bytes"),
    ],
)
def test_a_quota_is_nearly_used_from_80_percent_until_below_70(depth: Depth, before: str, said: str) -> None:
    """In bytes and in messages; between the two it stays as it was."""
    found = wrong(depth=depth, before=f"80% of the quota of {before}" if before else "")
    assert bool(found) == bool(said)
    assert f"the quota of {said}" in found.get(("acme.example", "quota"), "the quota of ")
    assert wrong(depth=Depth(messages=10**6), domain=replace(DOMAIN, quota_messages=0)) == {}


@pytest.mark.parametrize(
    ("until", "said"),
    [
        (date(2026, 12, 23), ""),
        (date(2026, 12, 22), "the contract ends with 2026-12-22"),
        (date(2026, 11, 22), "the contract is over since the end of 2026-11-22"),
    ],
)
def test_the_end_of_a_contract_is_said_30_days_ahead(until: date, said: str) -> None:
    """And still when it is over."""
    found = wrong(domain=replace(DOMAIN, until=until))
    assert bool(found) == bool(said)
    assert said in found.get(("acme.example", "contract"), "")


@pytest.mark.parametrize(
    ("days", "said"),
    [
        (14.01, ""),
        (13.99, "the certificate that mail.acme.example:25 shows for STARTTLS expires 2026-12-07"),
        (-1, "expired 2026-11-22T12:00:00Z"),
    ],
)
def test_a_certificate_is_about_to_expire_14_days_ahead(days: float, said: str) -> None:
    """Of each primary that shows one; those without are left alone."""
    found = expiring({Primary("mail.acme.example"): NOW + days * DAY, Primary("old.acme.example"): None}, NOW)
    assert bool(found) == bool(said)
    assert said in found
