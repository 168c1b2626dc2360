"""Content in pieces."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from relay.queue.content import PIECE, cut, pack, pack_whole, unpack, unpack_all


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


@given(st.lists(st.binary(max_size=2000) | st.integers(0, 2000).map(lambda size: b"x" * size), max_size=20))
def test_many_pieces_are_unpacked_at_once(contents: list[bytes]) -> None:
    """Whatever is packed and whatever is raw, each comes back as it was and in its place."""
    assert unpack_all([pack(content) for content in contents]) == contents


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data[:-1] + b"\xff", lambda data: b"?" + data])
def test_a_damaged_piece_among_many_is_noticed(damage: Callable[[bytes], bytes]) -> None:
    """None of them is given out as what it isn't."""
    pieces = [pack(text * 400) for text in (b"The first. ", b"The second. ", b"The third. ")]
    pieces[1] = (True, damage(pieces[1][1]))
    with pytest.raises(zstandard.ZstdError):
        unpack_all(pieces)
