"""Times, spans and sizes as people read them."""

from __future__ import annotations

import pytest

from cli.render import at, clock_time, plural, size, span


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, ""),
        (0, "0s"),
        (0.9, "0s"),
        (59.9, "59s"),
        (60, "1m"),
        (3599, "59m"),
        (3600, "1h"),
        (3661, "1h 1m"),
        (86399, "23h 59m"),
        (86400, "1d"),
        (14 * 86400 + 7200, "14d 2h"),
        (-90, "-1m"),
        (-0.5, "0s"),
    ],
)
def test_a_span_is_told_in_its_two_largest_units(seconds: float | None, words: str) -> None:
    """Short enough for a column."""
    assert span(seconds) == words


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (None, ""),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (9940, "9.9 kB"),
        (9960, "10 kB"),
        (999_700, "1.0 MB"),
        (10_000_000_000, "10 GB"),
        (2_500_000_000_000, "2.5 TB"),
    ],
)
def test_a_size_has_two_digits_or_three(number: float | None, words: str) -> None:
    """In decimal units, as disks are sold and quotas are set."""
    assert size(number) == words


def test_times_are_utc() -> None:
    """For scripts ISO 8601, for people without the T; what is not there is null or empty."""
    assert at(1_795_454_400.5) == "2026-11-23T17:20:00Z"
    assert clock_time(1_795_454_400.5) == "2026-11-23 17:20:00Z"
    assert (at(None), clock_time(None)) == (None, "")


def test_numbers_are_told_with_their_noun() -> None:
    """One is one; large numbers are grouped."""
    assert [plural(1, "message"), plural(0, "message"), plural(1_204_334, "copy", "copies")] == [
        "1 message",
        "0 messages",
        "1 204 334 copies",
    ]
