"""Content in counted chunks, whatever way its octets arrive."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from relay.edge.chunks import Chunks

OCTETS = st.lists(st.sampled_from([b"\r\n", b"\n", b"\r", b".", b"\r\n.\r\n", b"x", b"\0", b"\xff"])).map(b"".join)


def mended(octets: bytes) -> bytes:
    """The same, said simply."""
    return re.sub(rb"\r\n|\n|\r", lambda end: b" " if end[0] == b"\r" else b"\r\n", octets)


@given(OCTETS, st.lists(st.integers(0, 60)), st.booleans())
def test_the_division_of_octets_changes_nothing(sent: bytes, cuts: list[int], pieces: bool) -> None:
    """Any octets, cut anywhere, taken out whole or in pieces, come to the same content: bare CR and LF mended alone."""
    content = Chunks()
    out = b""
    places = sorted({min(cut, len(sent)) for cut in cuts})
    for begin, end in zip([0, *places], [*places, len(sent)], strict=True):
        assert not content.feed(sent[begin:end])
        if pieces:
            out += content.piece()
    last, behind = content.rest()
    assert (out + last, behind) == (mended(sent), b"")
    assert content.bare == (mended(sent) != sent)
    assert len(content) == 0
