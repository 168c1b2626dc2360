"""The targets of tests/fuzz, tried with what fuzzing begins with and what it has found."""

from __future__ import annotations

import pytest

from tests.fuzz.seeds import as_seed, read, seeds
from tests.fuzz.session import Sessions
from tests.fuzz.targets import PURE


@pytest.mark.parametrize("target", PURE)
def test_seeds_and_finds_of_pure_parts_hold(target: str) -> None:
    """Whatever is kept for a pure part does what its target promises."""
    for octets in seeds(target):
        PURE[target](octets)


def test_seeds_and_finds_of_sessions_hold() -> None:
    """Whatever is kept of whole sessions, and every dialogue's client: answered the same in any segments."""
    with Sessions() as session:
        for octets in seeds("session"):
            session(octets)


@pytest.mark.parametrize("octets", [b"'\"\\", bytes(range(256)), b"\r\n\t\\x41", b"# none", b" blank"])
def test_a_find_is_read_as_it_was_written(octets: bytes) -> None:
    """Any octets can be kept in a line of text."""
    assert read(f"# a comment\n\n{as_seed(octets)}\n") == [octets]
