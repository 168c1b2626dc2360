"""Content as it lies on disk: in pieces of at most 256 KiB, each packed with zstd where that makes it smaller.

Byte for byte what came, with our Received line before it. Pure; pieces are independent, so that a large message is
packed while it arrives and unpacked while it is sent.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

import zstandard

PIECE = 256 * 1024
"""Bytes of one piece, before packing."""
INLINE = 64 * 1024
"""Up to this size packing on the loop is quicker than handing it to a thread, and the writer is never waited for."""
UPLOAD_ABOVE = 1024 * 1024
"""Past this size content is committed while it arrives (relay.queue.upload)."""

RECEIVED_ROOM = 768
"""Octets of our Received line at most, with the longest of names; a primary's SIZE counts them."""

Piece = tuple[bool, bytes]
"""(packed, data)"""


class _Tools(threading.local):
    """zstd's contexts, which are quick to reuse and not to be shared between threads."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=1)
        self.decompressor = zstandard.ZstdDecompressor()


_tools = _Tools()


def pack(data: bytes) -> Piece:
    """One piece; raw where zstd makes it no smaller."""
    packed = _tools.compressor.compress(data)
    return (True, packed) if len(packed) < len(data) else (False, data)


def unpack(packed: bool, data: bytes) -> bytes:
    """What :func:`pack` was given. Raises zstandard.ZstdError where the piece was damaged."""
    return _tools.decompressor.decompress(data) if packed else data


def pack_whole(received: bytes, content: bytes) -> list[Piece]:
    """Our Received line and the whole content as pieces, the line at the head of the first."""
    if len(received) + len(content) <= PIECE:
        return [pack(received + content)]
    return [pack(received), *(pack(piece) for piece in cut(content))]


def cut(content: bytes) -> Iterator[bytes]:
    """``content`` in pieces."""
    for start in range(0, len(content), PIECE):
        yield content[start : start + PIECE]
