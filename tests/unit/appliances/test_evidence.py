"""What deliveries and probes have shown of an appliance in the last ten minutes."""

from __future__ import annotations

import pytest

from relay.appliances.evidence import Evidence, View

ACME, OTHER = 1, 2


def test_nothing_is_known_of_an_appliance_that_nobody_reported_on() -> None:
    """The view of no evidence says so instead of guessing."""
    assert Evidence().view(ACME, 1000.0) == View(None, 0, 0, 0, None, "")


@pytest.mark.parametrize(
    ("slow", "expected_over_10"),
    [(5, False), (6, True)],
)
def test_the_95th_percentile_of_the_replies(slow: int, expected_over_10: bool) -> None:
    """Five slow replies of a hundred leave it where it was, six don't; exactly ten seconds isn't over ten."""
    evidence = Evidence()
    for _ in range(100 - slow):
        evidence.note_reply(ACME, 10.0, 1000.0)
    for _ in range(slow):
        evidence.note_reply(ACME, 10.1, 1000.0)
    view = evidence.view(ACME, 1000.0)
    assert view.replies == 100
    assert view.p95_reply is not None
    assert (view.p95_reply > 10.0) is expected_over_10


def test_evidence_is_of_the_last_ten_minutes() -> None:
    """What is older no longer counts, however long nobody looked."""
    evidence = Evidence()
    evidence.note_recipient(ACME, True, 0.0)
    evidence.note_reply(ACME, 20.0, 0.0)
    evidence.note_recipient(ACME, False, 590.0)
    assert evidence.view(ACME, 599.0) == View(pytest.approx(23.8, rel=0.1), 1, 2, 1)  # type: ignore[arg-type]
    assert evidence.view(ACME, 601.0) == View(None, 0, 1, 0)
    assert evidence.view(ACME, 1e9) == View()


def test_appliances_are_kept_apart_and_forgotten() -> None:
    """What is seen of one says nothing about another, and goes with the ownership."""
    evidence = Evidence()
    evidence.note_recipient(ACME, True, 0.0)
    evidence.note_oldest(ACME, 17.0)
    assert evidence.view(OTHER, 0.0) == View()
    assert evidence.view(ACME, 0.0).oldest_since == 17.0
    assert evidence.view(ACME, 0.0).looked
    evidence.forget(ACME)
    assert evidence.view(ACME, 0.0) == View()


def test_a_refusal_holds_until_mail_is_taken_or_ten_minutes_are_over() -> None:
    """A 5xx at MAIL is remembered, but not for ever."""
    evidence = Evidence()
    evidence.note_refusal(ACME, "550 5.7.1 Listed", 0.0)
    assert evidence.view(ACME, 599.0).refusal == "550 5.7.1 Listed"
    assert evidence.view(ACME, 600.0).refusal == ""
    evidence.note_refusal(ACME, "550 5.7.1 Listed", 1000.0)
    evidence.note_recipient(ACME, False, 1001.0)
    assert evidence.view(ACME, 1001.0).refusal == ""


def test_memory_does_not_grow_with_time() -> None:
    """A year of mail leaves no more behind than eleven minutes."""
    evidence = Evidence()
    for minute in range(5000):
        evidence.note_reply(ACME, 0.1, minute * 60.0)
    assert len(evidence._records[ACME].slices) <= 11
