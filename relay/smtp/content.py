"""A message's content on its way out: dots stuffed, and the dot at its end (RFC 5321 4.5.2); or in counted chunks, in
which any octets go as they are (RFC 3030).

Content is bytes in lines that end in CRLF, without a bare CR or LF: the edge has seen to that, and nothing here looks
again. It is carried as it is otherwise, and given whole or in pieces that may be cut anywhere.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import TypeAlias

Content: TypeAlias = bytes | Iterable[bytes] | AsyncIterable[bytes]

_DOT = re.compile(rb"\n\.")

EMPTY = b".\r\n"
"""The end of data where nothing stands before it."""


def stuffed(content: bytes) -> list[bytes]:
    """The whole of ``content`` as it goes out, dot at the end included, in parts to be written one after the other."""
    stuffing = Stuffing()
    return [stuffing.feed(content), stuffing.end()]


def chunk(piece: bytes, *, last: bool) -> tuple[bytes, bytes]:
    """A piece as BDAT sends it, in parts to be written one after the other."""
    return b"BDAT %d%b\r\n" % (len(piece), b" LAST" if last else b""), piece


def first_line(piece: bytes) -> int:
    """How many octets the first line has, with its end; all of them where none ends."""
    return piece.find(b"\r\n") + 2 if b"\r\n" in piece else len(piece)


async def pieces(content: Content, size: int) -> AsyncIterator[bytes]:
    """``content`` in pieces: as they come, or, of bytes, of ``size`` octets."""
    if isinstance(content, bytes):
        for begin in range(0, len(content), size):
            yield content[begin : begin + size]
    elif isinstance(content, AsyncIterable):
        async for piece in content:
            yield piece
    else:
        for piece in content:
            yield piece


class Stuffing:
    """Stuffs the dots of content that comes in pieces: ``feed()`` each, then ``end()``."""

    def __init__(self) -> None:
        self._before = b"\r\n"  # the last two octets before the piece; content begins a line

    def feed(self, piece: bytes) -> bytes:
        """``piece`` with its dots stuffed; the very same object where there was nothing to do."""
        # Attachments have no dot at all and few texts one at the head of a line; replace() takes the longest to find
        # that out.
        found = b"." in piece and _DOT.search(piece) is not None
        out = piece.replace(b"\r\n.", b"\r\n..") if found else piece
        if self._before == b"\r\n" and piece[:1] == b".":
            out = b"." + out
        elif self._before[-1:] == b"\r" and piece[:2] == b"\n.":
            out = b"\n." + out[1:]
        self._before = piece[-2:] if len(piece) > 1 else (self._before + piece)[-2:]
        return out

    def end(self) -> bytes:
        """The end of data; ends the last line first, if need be."""
        return EMPTY if self._before == b"\r\n" else b"\r\n" + EMPTY
