"""What a primary can't do is remembered for an hour, once it is sure."""

from __future__ import annotations

from relay.appliances.model import Primary
from relay.clock import Clock
from relay.delivery.flaws import ENOUGH, REMEMBERED, Flaws
from relay.smtp.dialogue import Extension

HOST, OTHER = Primary("mail.acme.example"), Primary("mail.other.example")


def test_chunking_is_left_unused_for_an_hour() -> None:
    """One failure is enough for CHUNKING, of that primary alone; it is news once."""
    ticks = [1000.0]
    flaws = Flaws(Clock(wall=lambda: 0.0, monotonic=lambda: ticks[0]))
    assert flaws.failed(HOST, Extension.CHUNKING)
    assert not flaws.failed(HOST, Extension.CHUNKING)
    assert flaws.of(HOST) == {Extension.CHUNKING}
    assert flaws.of(OTHER) == frozenset()
    ticks[0] += REMEMBERED
    assert flaws.of(HOST) == frozenset()


def test_xclient_may_be_refused_for_a_single_client() -> None:
    """Several refusals in a row prove that it isn't for us; one that worked in between proves the contrary."""
    flaws = Flaws(Clock())
    for _ in range(ENOUGH[Extension.XCLIENT] - 1):
        assert not flaws.failed(HOST, Extension.XCLIENT)
    flaws.worked(HOST, Extension.XCLIENT)
    for _ in range(ENOUGH[Extension.XCLIENT] - 1):
        assert not flaws.failed(HOST, Extension.XCLIENT)
    assert flaws.of(HOST) == frozenset()
    assert flaws.failed(HOST, Extension.XCLIENT)
    assert flaws.of(HOST) == {Extension.XCLIENT}
