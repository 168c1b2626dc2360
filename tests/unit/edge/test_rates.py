"""How much is taken in a minute, whatever the pattern."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.edge.rates import MINUTE, Meter, Rates
from relay.errors import Deferred
from relay.settings import Limits

MOMENTS = st.lists(st.floats(0, 600), min_size=1, max_size=200).map(sorted)


@given(st.integers(1, 50), MOMENTS)
def test_no_minute_has_more_than_a_burst_and_what_came_back(most: int, moments: list[float]) -> None:
    """In any stretch of time at most a full bucket and its refill are taken; so at most twice the rate in a minute."""
    meter = Meter(most)
    taken = []
    for now in moments:
        if meter.left("x", now) >= 1:
            meter.take("x", now)
            taken.append(now)
    for place, first in enumerate(taken):
        for count, last in enumerate(taken[place:], 1):
            assert count <= most * (1 + (last - first) / MINUTE) + 0.001


@given(st.integers(1, 50), MOMENTS)
def test_a_client_within_its_rate_is_never_refused(most: int, moments: list[float]) -> None:
    """Neither is one that was refused before, once it has waited."""
    meter = Meter(most)
    for now in moments:
        if meter.left("x", now) >= 1:
            meter.take("x", now)
    for number in range(1, 2 * most):
        now = moments[-1] + number * MINUTE / most + 0.001
        assert meter.left("x", now) >= 1
        meter.take("x", now)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 40), st.floats(0, 30)), max_size=60))
def test_names_know_nothing_of_each_other(events: list[tuple[str, int, float]]) -> None:
    """Each has what it would have had alone."""
    together, alone = Meter(10), {name: Meter(10) for name in "abc"}
    now = 0.0
    for name, tokens, pause in events:
        now += pause
        together.take(name, now, tokens)
        alone[name].take(name, now, tokens)
    for name, meter in alone.items():
        assert together.left(name, now) == meter.left(name, now)


def test_a_whole_minutes_worth_may_come_at_once() -> None:
    """Then one at a time, as it is refilled."""
    meter = Meter(30)
    meter.take("x", 1e6, 30)
    assert meter.left("x", 1e6) == 0
    assert meter.left("x", 1e6 + 1.9) < 1
    assert meter.left("x", 1e6 + 2.0) >= 1
    assert meter.left("x", 1e6 + 500) == 30


def test_a_debt_is_paid_first() -> None:
    """What was taken beyond the bucket delays what comes."""
    meter = Meter(60)
    meter.take("x", 0, 90)
    assert meter.left("x", 0) == -30
    assert meter.left("x", 31) == 1


def test_no_limit_remembers_nobody() -> None:
    """Nor does it ever end."""
    meter = Meter(0)
    meter.take("x", 0, 10**9)
    assert meter.left("x", 0) == float("inf")
    assert len(meter) == 0


def test_a_million_addresses_are_not_remembered() -> None:
    """Who was heard of longest ago is forgotten first."""
    meter = Meter(1, kept=100)
    for number in range(10_000):
        meter.take(str(number), 0)
        meter.take("busy", 0)
    assert len(meter) == 100
    assert meter.left("busy", 0) < 1
    assert meter.left("9999", 0) < 1
    assert meter.left("0", 0) == 1


def test_trying_counts_for_a_client_and_taking_for_a_domain() -> None:
    """Whoever begins mail and never ends it uses up nobody's rate but its own."""
    rates = Rates(Limits(client_messages=2, client_recipients=3, domain_messages=1, domain_recipients=5))
    for _ in range(2):
        rates.message("192.0.2.1", 0)
    with pytest.raises(Deferred, match=r"450 4\.7\.1 Too many messages from you"):
        rates.message("192.0.2.1", 0)
    rates.message("192.0.2.2", 0)
    for _ in range(3):
        rates.recipient("192.0.2.1", 0)
    with pytest.raises(Deferred, match=r"450 4\.7\.1 Too many recipients from you") as refusal:
        rates.recipient("192.0.2.1", 0)
    assert refusal.value.reason == "client-rate"
    for _ in range(10):
        rates.room("gold.example", 5, 0)
    with pytest.raises(Deferred, match=r"450 4\.7\.1") as refusal:
        rates.room("gold.example", 6, 0)
    assert refusal.value.reason == "domain-rate"
    rates.taken("gold.example", 1, 0)
    with pytest.raises(Deferred, match=r"450 4\.7\.1"):
        rates.room("gold.example", 1, 0)
    rates.room("other.example", 1, 0)
    rates.room("gold.example", 1, 60)


def test_other_limits_hold_at_once() -> None:
    """What was taken in the last minute still counts."""
    rates = Rates(Limits())
    rates.reconfigure(Limits(client_messages=10))
    for _ in range(10):
        rates.message("192.0.2.1", 0)
    rates.reconfigure(Limits(client_messages=5))
    with pytest.raises(Deferred):
        rates.message("192.0.2.1", 1)
    rates.reconfigure(Limits())
    rates.message("192.0.2.1", 1)
