"""Where a message ends and what it says, whatever way its octets arrive."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.edge.content import END, Content

OCTETS = st.lists(st.sampled_from([b"\r\n", b"\n", b"\r", b".", b"..", b"x", b"\0", b"\xff"])).map(b"".join)


def take(wire: bytes, cuts: list[int], *, pieces: bool) -> tuple[bytes, bytes]:
    """(content, what came behind it), read in segments that end at ``cuts``."""
    content = Content()
    out = b""
    places = sorted({min(cut, len(wire)) for cut in cuts})
    segments = [wire[a:b] for a, b in zip([0, *places], [*places, len(wire)], strict=True)]
    while segments and not content.feed(segments.pop(0)):
        if pieces:
            out += content.piece()
    last, behind = content.rest()
    return out + last, behind + b"".join(segments)


def model(wire: bytes) -> tuple[bytes, bytes]:
    """The same, said simply."""
    sent, _, behind = (b"\r\n" + wire).partition(END)
    text = re.sub(rb"\r\n|\n|\r", lambda end: b" " if end[0] == b"\r" else b"\r\n", sent + b"\r\n")
    lines = [line[1:] if len(line) > 1 and line.startswith(b".") else line for line in text.split(b"\r\n")]
    return b"\r\n".join(lines)[2:], behind


@given(OCTETS, OCTETS, st.lists(st.integers(0, 60)), st.booleans())
def test_the_division_of_octets_changes_nothing(sent: bytes, behind: bytes, cuts: list[int], pieces: bool) -> None:
    """Any octets, cut anywhere, taken out whole or in pieces, come to the same content, end and rest."""
    wire = sent + END + behind
    assert take(wire, cuts, pieces=pieces) == model(wire)


@pytest.mark.parametrize(
    "sent", [b"abcde\n.\r\nfghij", b"abcde\n..\r\rfghij", b"abcde\r\n..fghij", b"abcde\n.f\r\nghij"]
)
def test_no_seam_shows(sent: bytes) -> None:
    """A piece may end anywhere: within a line end, or behind a dot that begins a line."""
    for cut in range(len(sent) + 1):
        assert take(sent + END, [cut], pieces=True) == model(sent + END), cut


@given(st.binary(max_size=300), st.lists(st.integers(0, 300)))
def test_lines_are_carried_byte_for_byte(octets: bytes, cuts: list[int]) -> None:
    """What a client says in lines that end with CRLF, dots stuffed, is what is stored."""
    said = octets.replace(b"\r", b"").replace(b"\n", b"\r\n") + b"\r\n"
    stuffed = (b"\r\n" + said).replace(b"\r\n.", b"\r\n..")[2:]
    assert take(stuffed + b".\r\n", cuts, pieces=True) == (said, b"")


@pytest.mark.parametrize(
    "end",
    [b"\n.\n", b"\r\n.\n", b"\n.\r\n", b"\r.\r\n", b"\r\n.\r", b"\r.\r", b"\n\n.\r\r\n", b"\r\n.\0\r\n", b"\r\n. \r\n"],
)
def test_only_crlf_dot_crlf_ends_a_message(end: bytes) -> None:
    """What only looks like the end of data doesn't end it."""
    content = Content()
    assert not content.feed(b"a" + end + b"MAIL FROM:<smuggled@evil.example>")
    assert content.feed(b"\r\n.\r\n")
    text, behind = content.rest()
    assert b"smuggled" in text
    assert behind == b""


@pytest.mark.parametrize(
    ("wire", "content"),
    [
        (b".\r\n", b""),
        (b"\r\n.\r\n", b"\r\n"),
        (b"a\nb\r\n.\r\n", b"a\r\nb\r\n"),
        (b"a\rb\r\n.\r\n", b"a b\r\n"),
        (b"a\r\r\nb\r\n.\r\n", b"a \r\nb\r\n"),
        (b"..a\r\n..\r\n.b\r\n.\r\n", b".a\r\n.\r\nb\r\n"),
        (b"a\n..b\r\n.\r\n", b"a\r\n.b\r\n"),
        (b"a\n.\nb\r\n.\r\n", b"a\r\n.\r\nb\r\n"),
        (b"\n.\r\n.\r\n", b"\r\n.\r\n"),
    ],
)
def test_what_content_is_stored(wire: bytes, content: bytes) -> None:
    """A bare LF becomes CRLF, a bare CR a space, and then a line loses the dot that it begins with."""
    assert take(wire, [], pieces=False) == (content, b"")


def test_what_is_refused_is_not_kept() -> None:
    """A message that is swallowed costs no memory, and its end is still found."""
    content = Content()
    for _ in range(100):
        assert not content.feed(b"x" * 1000 + b"\r\n.\r")
        content.forget()
        assert len(content) < 5
    assert content.feed(b"\n")
    assert content.rest()[1] == b""
