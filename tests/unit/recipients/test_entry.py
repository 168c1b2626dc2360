"""An entry of a list: what a person may write, and what is made of it."""

from __future__ import annotations

import pytest

from relay.errors import Refused
from relay.recipients.entry import Entry, Kind


@pytest.mark.parametrize(
    ("text", "target", "expected"),
    [
        ("Info", None, Entry("info")),
        (" Info@Gold.Example. ", None, Entry("info")),
        ('"John Doe"@gold.example', None, Entry("john doe")),
        ("sales", "Ann", Entry("sales", Kind.ALIAS, "ann@gold.example")),
        ("sales", "Ann@Bücher.example", Entry("sales", Kind.ALIAS, "ann@xn--bcher-kva.example")),
        ("*@gold.example", None, Entry("*", Kind.CATCH_ALL)),
        ("@gold.example", None, Entry("*", Kind.CATCH_ALL)),
        ('"*"@gold.example', None, Entry("*", Kind.CATCH_ALL)),
        ("*", "info", Entry("*", Kind.CATCH_ALL, "info@gold.example")),
    ],
)
def test_an_entry_is_read(text: str, target: str | None, expected: Entry) -> None:
    """A mailbox, another name for one, or whoever there may be."""
    assert Entry.parse("gold.example", text, target) == expected


def test_an_entry_is_written_as_people_write_it() -> None:
    """With quotes where it needs them."""
    for text in ("info@gold.example", '"john doe"@gold.example', "*@gold.example"):
        assert Entry.parse("gold.example", text).address("gold.example") == text


@pytest.mark.parametrize(
    ("text", "target", "words"),
    [
        ("info@other.example", None, "'info@other.example' is not an address at gold.example"),
        ("", None, "'' should be an address such as info@gold.example"),
        ("<info@gold.example>", None, "is not an address at gold.example"),
        ("<info>", None, "'<info>' should be an address such as info@gold.example"),
        ("x" * 100_000 + "\n", None, "…' should be an address"),
        ("sales", "a b@c.example", "'a b@c.example' should be the address that an alias stands for"),
        ("sales", "ann@", "should be the address that an alias stands for"),
    ],
)
def test_what_is_no_entry_is_named(text: str, target: str | None, words: str) -> None:
    """Shortly, whatever it is."""
    if text.startswith("x"):
        text = text.replace("\n", " ,")
    with pytest.raises(Refused) as refusal:
        Entry.parse("gold.example", text, target)
    assert words in str(refusal.value)
    assert len(str(refusal.value)) < 200
