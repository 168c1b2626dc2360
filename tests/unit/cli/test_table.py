"""How a table finds room on a terminal."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cli.table import Column, Line, count, lay_out, prose, word

COLUMNS = (
    "DOMAIN",
    Column("APPLIANCE", spare=2),
    word("HEALTH"),
    count("QUEUED"),
    count("HELD"),
    Column("OWNER", spare=1),
    prose("WHY"),
)
ROWS = (
    ("acme.example", "acme", "down", 1204, 0, "n1", "for 3h: connection refused by every one of its primaries"),
    ("bolt.example", "bolt-and-sons", "up", 0, 0, "n1", ""),
)


def _text(lines: list[Line]) -> list[str]:
    return ["".join(text for text, _ in line) for line in lines]


def _at(width: int | None) -> list[str]:
    return _text(lay_out(COLUMNS, ROWS, width))


def test_in_a_pipe_nothing_is_cut_and_each_row_is_a_line() -> None:
    """So that grep finds whole rows."""
    assert _at(None) == [
        "DOMAIN        APPLIANCE      HEALTH  QUEUED  HELD  OWNER  WHY",
        "acme.example  acme           down      1204     0  n1     for 3h: connection refused by every one of its"
        " primaries",
        "bolt.example  bolt-and-sons  up           0     0  n1     –",
    ]


def test_a_little_less_room_wraps_the_text_in_its_column() -> None:
    """Words stay whole."""
    assert _at(100)[1:3] == [
        "acme.example  acme           down      1204     0  n1     for 3h: connection refused by every one of",
        "                                                          its primaries",
    ]


def test_less_room_leaves_out_what_says_nothing_and_puts_the_text_below() -> None:
    """HELD is 0 in each row; the reason has a line of its own."""
    assert _at(60) == [
        "DOMAIN        APPLIANCE      HEALTH  QUEUED  OWNER",
        "acme.example  acme           down      1204  n1",
        "    for 3h: connection refused by every one of its primaries",
        "bolt.example  bolt-and-sons  up           0  n1",
    ]


def test_still_less_room_leaves_out_what_can_be_spared_and_says_so() -> None:
    """The one that can best be done without goes first."""
    assert _at(45) == [
        "DOMAIN        HEALTH  QUEUED  OWNER",
        "acme.example  down      1204  n1",
        "    for 3h: connection refused by every one",
        "    of its primaries",
        "bolt.example  up           0  n1",
        "(no room for APPLIANCE: --json has everything)",
    ]
    assert _at(30)[-1] == "(no room for APPLIANCE, OWNER: --json has everything)"


def test_long_names_are_folded_before_anything_is_lost() -> None:
    """The longest gives way first; numbers never do."""
    rows = [("a-very-long-name.customers.example", "short.example", 12345678)]
    assert _text(lay_out(("DOMAIN", "PRIMARY", count("QUEUED")), rows, 45)) == [
        "DOMAIN                PRIMARY          QUEUED",
        "a-very-long-name.cus  short.example  12345678",
        "tomers.example",
    ]


def test_newlines_count_only_where_they_are_meant() -> None:
    """A reply with a newline in it can't forge a row."""
    rows = [("one", "first\nsecond"), ("two", "plain")]
    meant = _text(lay_out(("NAME", prose("TEXT", lines=True)), rows))
    assert meant == ["NAME  TEXT", "one   first", "      second", "two   plain"]
    assert _text(lay_out(("NAME", prose("TEXT")), rows))[1] == "one   first\\nsecond"


def test_states_are_coloured_by_their_first_word_and_other_text_is_not() -> None:
    """A customer called 'down' is no outage."""
    lines = lay_out(("CUSTOMER", word("HEALTH")), [("down", "down since noon")])
    assert [style for text, style in lines[1] if text.strip()] == ["", "bold red"]


_cell = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=60))


@given(
    st.lists(st.tuples(_cell, _cell, st.integers(0, 10**10), _cell), min_size=1, max_size=5),
    st.integers(min_value=46, max_value=150),
)
def test_no_line_is_wider_than_the_terminal(rows: list[tuple[Any, ...]], width: int) -> None:
    """Whatever is in it, a table with one number of reasonable size fits."""
    lines = _text(lay_out(("NAME", Column("SPARE", spare=1), count("NUMBER"), prose("TEXT", lines=True)), rows, width))
    assert all(len(line.rstrip()) <= width and line.isprintable() for line in lines)
