"""How many reports may go, to a domain and in all."""

from __future__ import annotations

from relay.delivery.reports.allowance import Allowance


def test_a_minutes_worth_may_go_at_once_and_is_refilled_evenly() -> None:
    """Thirty to one domain, then one every other second."""
    allowance = Allowance(a_domain=30, in_all=300)
    for _ in range(30):
        assert allowance.of("a.example", 0.0)
        allowance.take("a.example", 0.0)
    assert allowance.of("a.example", 1.9) == 0
    assert allowance.of("a.example", 2.1) == 1
    assert allowance.of("b.example", 0.0) == 30


def test_all_domains_together_have_a_limit_too() -> None:
    """One that was told nothing yet waits for its turn as well."""
    allowance = Allowance(a_domain=30, in_all=60)
    for number in range(60):
        allowance.take(f"d{number}.example", 0.0)
    assert allowance.of("new.example", 0.5) == 0
    assert allowance.of("new.example", 60.0) == 30


def test_who_has_all_of_it_again_is_forgotten() -> None:
    """Memory is for those who were told something lately."""
    allowance = Allowance()
    allowance.take("a.example", 0.0)
    allowance.forget(1.0)
    assert allowance._left
    allowance.forget(120.0)
    assert not allowance._left
