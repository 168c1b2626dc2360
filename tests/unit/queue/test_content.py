"""Content in pieces."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from relay.queue.content import PIECE, cut, pack, pack_whole, unpack


@given(st.binary(max_size=20_000), st.binary(max_size=300))
def test_content_comes_back_byte_for_byte(content: bytes, received: bytes) -> None:
    """Whatever bytes came, the same bytes are read back, below our Received line."""
    pieces = pack_whole(received, content)
    assert b"".join(unpack(*piece) for piece in pieces) == received + content


def test_large_content_is_cut_into_pieces_of_256_kib() -> None:
    """No piece is larger than 256 KiB, and the Received line has one of its own."""
    content = random.Random(1).randbytes(3 * PIECE + 5)
    pieces = [unpack(*piece) for piece in pack_whole(b"Received: x\r\n", content)]
    assert [len(piece) for piece in pieces] == [13, PIECE, PIECE, PIECE, 5]
    assert b"".join(pieces[1:]) == content == b"".join(cut(content))


def test_what_does_not_get_smaller_is_stored_raw() -> None:
    """Random bytes are kept as they are; text is packed."""
    noise = random.Random(2).randbytes(4096)
    assert pack(noise) == (False, noise)
    packed, data = pack(b"All work and no play makes Jack a dull boy.\r\n" * 100)
    assert packed
    assert len(data) < 200
