"""The hash of a body is dkimpy's, however the content comes in pieces."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from itertools import pairwise

from dkim.canonicalization import Relaxed, Simple
from hypothesis import example, given
from hypothesis import strategies as st

from relay.delivery.reports.body import HEADER_LIMIT, PIECE, Message

ATOMS = [b"\r\n", b" ", b"\t", b"  \r\n", b"x", b"\r\n\r\n", b".", b"\xff\0", b" \t x", b"From: a@b\r\n", b"y" * 70_000]
TEXTS = st.lists(st.sampled_from(ATOMS), max_size=12).map(b"".join)


def never() -> None:
    """There is always time."""


def in_pieces(content: bytes, cuts: list[int]) -> Iterator[bytes]:
    places = [0, *sorted(min(cut, len(content)) for cut in cuts), len(content)]
    for start, end in pairwise(places):
        yield content[start:end]


@given(TEXTS, TEXTS, st.lists(st.integers(0, 300)))
@example(b"A: b\r\n", b"", [])
@example(b"A: b\r\n", b" \r\n\t\r\n", [7, 8, 9, 10])
@example(b"", b"x \r\n" * 40_000 + b"\r\n" * 100_000, [])
def test_it_is_what_dkimpy_hashes(header: bytes, body: bytes, cuts: list[int]) -> None:
    """Both canonical forms, their length included, of whole lines cut into pieces anywhere."""
    body = body if body.endswith(b"\r\n") or not body else body + b"\r\n"
    content = (header and header.removesuffix(b"\r\n") + b"\r\n") + b"\r\n" + body
    message = Message(lambda: in_pieces(content, cuts), never)
    body = content[2:] if content.startswith(b"\r\n") else content.partition(b"\r\n\r\n")[2]
    for relaxed, policy in ((False, Simple), (True, Relaxed)):
        canonical = policy.canonicalize_body(body)
        assert message.hashed(relaxed=relaxed) == (sha256(canonical).digest(), len(canonical))
        assert Message(content, never).hashed(relaxed=relaxed) == message.hashed(relaxed=relaxed)


@given(TEXTS, st.lists(st.integers(0, 300)))
def test_a_header_ends_at_the_empty_line(content: bytes, cuts: list[int]) -> None:
    """It is all that stands above, and is not looked at where it is too long."""
    header = b"" if content.startswith(b"\r\n") else content.partition(b"\r\n\r\n")[0]
    found = Message(lambda: in_pieces(content, cuts), never).header()
    if len(header) + 4 > HEADER_LIMIT:
        assert found is None
    else:
        assert found is not None
        assert found.removesuffix(b"\r\n") == header.removesuffix(b"\r\n")


def test_what_a_stranger_chose_takes_no_longer() -> None:
    """A body of blanks, which is where regular expressions take quadratic time, is over in a moment; no piece is large,
    and time may be up in the middle."""
    read: list[int] = []
    content = b"A: b\r\n\r\n" + b" \t" * 4_000_000 + b"x"
    Message(lambda: iter([content]), lambda: read.append(1)).hashed(relaxed=True)
    assert len(read) >= len(content) // PIECE
