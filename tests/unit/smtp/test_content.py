"""Content comes out as it went in, once its dots are unstuffed."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.smtp.content import Stuffing, stuffed

STUFFED = {
    b"": b".\r\n",
    b"a\r\n": b"a\r\n.\r\n",
    b".\r\n": b"..\r\n.\r\n",
    b".a\r\n..b\r\n": b"..a\r\n...b\r\n.\r\n",
    b"a.b\r\n.\r\n": b"a.b\r\n..\r\n.\r\n",
    b"\r\n.\r\n.\r\n": b"\r\n..\r\n..\r\n.\r\n",
    b"no line end": b"no line end\r\n.\r\n",
    b"x" * 3000 + b"\r\n": b"x" * 3000 + b"\r\n.\r\n",
    b"\0\xff\r\n": b"\0\xff\r\n.\r\n",
}

lines = st.lists(st.binary(max_size=6) | st.sampled_from([b".", b"..", b"", b".a", b"a."]), max_size=12)


def unstuffed(sent: bytes) -> bytes:
    """What a server makes of it (RFC 5321 4.5.2), line by line."""
    *content, dot, rest = sent.split(b"\r\n")
    assert (dot, rest) == (b".", b"")
    assert b"." not in content, "the end of data came too early"
    return b"".join(line.removeprefix(b".") + b"\r\n" for line in content)


@pytest.mark.parametrize(("content", "sent"), STUFFED.items())
def test_stuffs(content: bytes, sent: bytes) -> None:
    """A line that begins with a dot gets another one, and a dot alone ends the content."""
    assert b"".join(stuffed(content)) == sent


@given(lines, st.data())
def test_any_content_in_any_pieces(content_lines: list[bytes], data: st.DataObject) -> None:
    """However content is cut into pieces, a server takes exactly what there was."""
    content = b"".join(line.replace(b"\r", b"").replace(b"\n", b"") + b"\r\n" for line in content_lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)))))
    stuffing = Stuffing()
    sent = b"".join(
        stuffing.feed(content[begin:end]) for begin, end in zip([0, *cuts], [*cuts, len(content)], strict=True)
    )
    assert unstuffed(sent + stuffing.end()) == content


def test_is_fast_on_large_content() -> None:
    """50 MB are stuffed in a fraction of a second."""
    content = (b"x" * 74 + b"\r\n") * 650_000 + b".\r\n"
    began = time.process_time()
    sent = stuffed(content)
    assert time.process_time() - began < 2.0
    assert sum(map(len, sent)) == len(content) + len(b".") + len(b".\r\n")
