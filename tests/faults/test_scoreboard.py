"""The table in README: a run replaces its own rows, and README has a row for each fault that SQLite is asked about."""

from __future__ import annotations

import pytest

from tests.faults.__main__ import FAULTS
from tests.faults.result import Result
from tests.faults.scoreboard import BEGIN, END, README, merged, row

ORDER = [fault.title for fault in FAULTS]


def test_a_run_replaces_its_own_rows() -> None:
    """Those of other faults, and of the same on another engine, stay; what nobody knows any more goes."""
    first, second = FAULTS[:2]
    old = Result("sqlite", 3, 10, 1, 0, 0)
    new = Result("sqlite", 3, 1000, 0, 2, 4, recoveries=(1.0, 2.0))
    text = f"before\n{BEGIN}\n{END}\nafter\n"
    text = merged(text, [row(second, "SQLite", old), row(first, "PostgreSQL", old), row(first, "SQLite", old)], ORDER)
    text = merged(text, [row(first, "SQLite", new)], ORDER)
    lines = [line for line in text.splitlines() if line.startswith("| ")][2:]
    assert [line.split(" | ")[:2] for line in lines] == [
        [f"| {first.title}", "PostgreSQL"],
        [f"| {first.title}", "SQLite"],
        [f"| {second.title}", "SQLite"],
    ]
    assert "| 1,000 | 0 | 2 (4) | 0 | accepts again in 1.5 s, at the most 2.0 s, of 5 s | held |" in lines[1]
    assert "1 of 10 letters are lost" in lines[2]
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert merged(text, [], ORDER[1:]).count("\n| kill") == 1


def test_markers_that_are_missing_are_said() -> None:
    """Nothing is appended where nobody looks."""
    with pytest.raises(ValueError, match="made by make faults"):
        merged("no table here", [], ORDER)


def test_readme_tells_every_fault() -> None:
    """What was added, or has another name now, has been run; and none of them has cost a letter."""
    table = README.read_text().partition(BEGIN)[2].partition(END)[0]
    for fault in FAULTS:
        lines = [line for line in table.splitlines() if line.startswith(f"| {fault.title} | ")]
        assert lines, f"make faults hasn't told {fault.name} yet"
        assert all(line.split(" | ")[4] == "0" for line in lines), lines
