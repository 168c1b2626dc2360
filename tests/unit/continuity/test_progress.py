"""How often the ticket hears of the drain."""

from __future__ import annotations

from relay.continuity.progress import Told, progress

TOLD = Told(1000.0, 500, 500)


def test_a_tenth_is_told_after_a_minute() -> None:
    """Not sooner, however fast it goes; nor for less."""
    assert progress(TOLD, 100, 1059.0) is None
    assert progress(TOLD, 451, 1060.0) is None
    assert progress(TOLD, 450, 1060.0) == (
        Told(1060.0, 500, 450),
        "Handing back: 50 of 500 recipients have been tried (10%).",
    )


def test_after_five_minutes_anything_is_told() -> None:
    """Also that nothing goes on."""
    news = progress(TOLD, 499, 1300.0)
    assert news is not None
    assert news[1] == "Handing back: 1 of 500 recipients have been tried (0%)."
    news = progress(news[0], 499, 1600.0)
    assert news is not None
    assert "stands still" in news[1]


def test_the_end_is_told_by_the_decision() -> None:
    """Drained is a step of the outage, not a progress."""
    assert progress(TOLD, 0, 9000.0) is None


def test_a_count_that_grows_is_told_truthfully() -> None:
    """More may turn out to wait than was known at the return."""
    news = progress(TOLD, 600, 1300.0)
    assert news is not None
    assert news[1] == "Handing back: 0 of 600 recipients have been tried (0%)."
