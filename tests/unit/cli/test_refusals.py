"""Refusals in words."""

from __future__ import annotations

from cli.refusals import HIGH, OURS, WORDS, line, meanings, ours
from relay.edge.refusals import REASONS


def test_reasons_are_told_in_words_the_rest_is_summed() -> None:
    """Also a reason that has no words yet."""
    counts = {"unknown-recipient": 1204, "quota": 31, "odd-thing": 9, "size": 3, "loop": 2, "syntax": 1, "full": 1}
    assert line(counts) == "unknown recipient 1 204 · quota 31 · odd thing 9 · too large 3 · mail loop 2 · others 2"
    assert [meaning.partition(":")[0] for meaning in meanings(counts)] == [
        "unknown recipient",
        "quota",
        "too large",
        "mail loop",
    ]
    assert line({}) == ""


def test_every_reason_has_its_words() -> None:
    """What the edge says, an operator understands."""
    assert {*REASONS.values(), "syntax"} <= set(WORDS)
    assert set(OURS) <= set(WORDS)


def test_only_what_is_ours_and_high_is_worrying() -> None:
    """A robot's bad commands are nobody's fault here, nor is a single full moment."""
    assert ours({"unknown-recipient": 5000, "quota": HIGH - 1}) == {}
    assert ours({"unknown-recipient": 5000, "quota": HIGH - 1, "full": 1}) == {"quota": HIGH - 1, "full": 1}
