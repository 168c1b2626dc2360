"""What reaches a terminal or a script: nothing that moves a cursor, and nothing lost."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.plain import printable, printable_json


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, ünïcödé – 例え", "plain, ünïcödé – 例え"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x9b31m", "\\x9b31m"),
        ("two\r\nlines\ttab\x07\x7f", "two\\r\\nlines\\ttab\\x07\\x7f"),
        ("moc.elpmaxe\u202e", "moc.elpmaxe\\u202e"),
        ("\u2066\u200b\ufeff\u2028", "\\u2066\\u200b\\ufeff\\u2028"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_does_not_print_is_shown_as_an_escape(text: str, shown: str) -> None:
    """Controls, marks of direction, invisible characters and halves of pairs are seen, not obeyed."""
    assert printable(text) == shown


@given(st.text())
def test_whatever_a_sender_writes_is_one_printable_line(text: str) -> None:
    """For any text at all."""
    assert printable(text).isprintable()


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_json_keeps_its_meaning(value: object) -> None:
    """Read back it is the same, and each line of it is printable."""
    text = printable_json(json.dumps(value, ensure_ascii=False, indent=1))
    assert json.loads(text) == value
    assert all(line.isprintable() for line in text.split("\n"))
