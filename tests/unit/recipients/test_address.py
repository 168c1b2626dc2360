"""Which spellings before the @ are one mailbox."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.recipients.address import bases, mailbox, written


@pytest.mark.parametrize(
    ("local", "expected"),
    [
        ("Info", "info"),
        ('"Info"', "info"),
        ('"john doe"', "john doe"),
        ('"john\\ doe"', "john doe"),
        ('"a\\"b\\\\c"', 'a"b\\c'),
        (".odd..dots.", ".odd..dots."),
        ("Bücher", "bücher"),
        ("bu\u0308cher", "bücher"),
        ("\u212bngstro\u0308m", "ångström"),
        ("ΑΘΗΝΑ", "αθηνα"),
        ("İ", "i̇"),
    ],
)
def test_spellings_of_one_mailbox_have_one_form(local: str, expected: str) -> None:
    """Case, quotes that nothing needs, and how Unicode is put together make no difference."""
    assert mailbox(local) == expected


@pytest.mark.parametrize("local", ["", "a b", '"', '""', '"a', "a\x00", '"a\nb"', "<a>", "a,b", "a;b", "a:b", "a\\b"])
def test_what_can_stand_before_no_at_is_refused(local: str) -> None:
    """It is no mailbox in any spelling."""
    with pytest.raises(ValueError, match="can't stand before the @"):
        mailbox(local)


@given(st.text(st.characters(min_codepoint=0x20, blacklist_categories=("Cc", "Cs")), min_size=1))
def test_the_form_of_a_mailbox_is_its_own_form(text: str) -> None:
    """Written as an address and read again it stays the same, also in capitals or taken apart."""
    local = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    form = mailbox(local)
    address = written(form, "gold.example")
    again = address.removesuffix("@gold.example")
    assert mailbox(again) == form
    assert mailbox(unicodedata.normalize("NFD", again)) == form


@pytest.mark.parametrize(
    ("text", "separators", "expected"),
    [
        ("info+shop", "+", ["info"]),
        ("info+shop+2", "+", ["info+shop", "info"]),
        ("jean-paul+x", "+-", ["jean-paul", "jean"]),
        ("info-shop", "+", []),
        ("info+shop", "", []),
        ("+shop", "+", []),
        ("info+", "+", ["info"]),
    ],
)
def test_an_extension_belongs_to_its_mailbox(text: str, separators: str, expected: list[str]) -> None:
    """By the domain's own characters, the longest mailbox first; a separator begins no address."""
    assert list(bases(text, separators)) == expected
