"""mboxrd: what comes in pieces of any size is quoted as if it were whole, and can be had back."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.mailbox import envelope_lines, quoted, separator

TRICKY = st.lists(
    st.sampled_from([b"From ", b"From", b"F", b"r", b">", b">>", b"\r\n", b"\r", b"x", b" ", b""]), max_size=30
)


@given(TRICKY)
def test_however_it_is_cut_it_is_quoted_the_same(pieces: list[bytes]) -> None:
    """Each line that begins with From, quotes aside, gets one more; lines end in LF, the message in an empty one."""
    whole = b"".join(pieces).replace(b"\r\n", b"\n")
    wanted = re.sub(rb"(?m)^(>*From )", rb">\1", whole)
    found = b"".join(quoted(pieces))
    assert found == wanted + (b"\n" if wanted.endswith(b"\n") else b"\n\n")
    assert re.sub(rb"(?m)^>(>*From )", rb"\1", found).rstrip(b"\n") == whole.rstrip(b"\n")


def test_a_line_without_an_end_is_not_kept_in_memory() -> None:
    """A piece goes out as it comes, but for what isn't decided yet."""
    coming = quoted(iter([b">" * 100_000, b">" * 100_000, b"Fro", b"m me\r\n"]))
    assert next(coming) == b">" * 100_000
    assert next(coming) == b">" * 100_000
    assert next(coming) == b">From me\n"
    assert list(coming) == [b"\n"]


@pytest.mark.parametrize(
    ("sender", "line"),
    [
        ("ann@elsewhere.example", "From ann@elsewhere.example Fri Jan 15 08:00:00 2027\n"),
        ("", "From MAILER-DAEMON Fri Jan 15 08:00:00 2027\n"),
        ('"a b"@elsewhere.example', 'From "a_b"@elsewhere.example Fri Jan 15 08:00:00 2027\n'),
    ],
)
def test_a_message_begins_with_its_sender(sender: str, line: str) -> None:
    """In one word, whatever it holds."""
    assert separator(sender, 1_800_000_000.0) == line.encode()


def test_the_envelope_stands_above_the_message() -> None:
    """Exactly, the null sender too."""
    assert envelope_lines("", ["a@b.example", "ü@c.example"]).decode() == (
        "Return-Path: <>\nX-Envelope-To: <a@b.example>\nX-Envelope-To: <ü@c.example>\n"
    )
