"""The body of a message as DKIM hashes it (RFC 6376 3.4), from pieces, so that no message is held whole.

In time that grows with its length and no faster: a stranger chose it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256

HEADER_LIMIT = 128 * 1024
"""Octets of a header that is looked at."""
PIECE = 64 * 1024
"""Octets that are turned over at a time: other threads wait meanwhile."""


class Message:
    """``content``: whole, or a function that gives its pieces from the beginning each time it is called.

    ``check`` is called now and then while the body is read, and may raise.
    """

    def __init__(self, content: Callable[[], Iterable[bytes]] | bytes, check: Callable[[], None]) -> None:
        self._content = content
        self._check = check
        self._hashes: dict[bool, tuple[bytes, int]] = {}

    def header(self) -> bytes | None:
        """All fields with their line ends; None where they are too long to be looked at."""
        begin = b""
        for piece in self._pieces():
            begin += piece
            if begin.startswith(b"\r\n"):
                return b""
            end = begin.find(b"\r\n\r\n", 0, HEADER_LIMIT)
            if end >= 0:
                return begin[: end + 2]
            if len(begin) > HEADER_LIMIT:
                return None
        return begin

    def hashed(self, *, relaxed: bool) -> tuple[bytes, int]:
        """SHA-256 of the body in one of its canonical forms, and how many octets that form has."""
        if relaxed not in self._hashes:
            canonical = _Canonical(relaxed)
            for piece in self._body():
                self._check()
                canonical.feed(piece)
            self._hashes[relaxed] = canonical.end()
        return self._hashes[relaxed]

    def _body(self) -> Iterator[bytes]:
        """What is below the first empty line."""
        before: bytes | None = b"\r\n"  # an empty line may be the first one
        for piece in self._pieces():
            if before is None:
                yield piece
                continue
            joined = before + piece
            end = joined.find(b"\r\n\r\n")
            if end >= 0:
                before = None
                yield joined[end + 4 :]
            else:
                before = joined[-3:]

    def _pieces(self) -> Iterator[bytes]:
        for piece in (self._content,) if isinstance(self._content, bytes) else self._content():
            for start in range(0, len(piece), PIECE):
                yield piece[start : start + PIECE]


class _Canonical:
    """Hashes a body, held back what may yet turn out to be its end: empty lines there don't count."""

    def __init__(self, relaxed: bool) -> None:
        self._relaxed = relaxed
        self._hash = sha256()
        self._length = 0
        self._breaks = 0  # CRLFs since the last thing that is no CRLF
        self._rest = b""  # what begins like a CRLF, or a blank that may be the last of its line

    def feed(self, piece: bytes) -> None:
        data = self._rest + piece
        if self._relaxed:
            data = data.replace(b"\t", b" ")
            while b"  " in data:
                data = data.replace(b"  ", b" ")
        kept = int(data.endswith(b"\r"))
        if self._relaxed and data[: len(data) - kept].endswith(b" "):
            kept += 1
        self._rest = data[len(data) - kept :]
        data = data[: len(data) - kept]
        if self._relaxed:
            data = data.replace(b" \r\n", b"\r\n")
        self._add(data)

    def end(self) -> tuple[bytes, int]:
        if self._relaxed and self._rest.endswith(b" "):
            self._rest = self._rest[:-1]
        self._add(self._rest)
        # Simple: an empty body is one CRLF; relaxed: it is nothing (RFC 6376 3.4.3, 3.4.4).
        if self._length or not self._relaxed:
            self._update(b"\r\n")
        return self._hash.digest(), self._length

    def _add(self, data: bytes) -> None:
        text = data.rstrip(b"\r\n")
        tail = data[len(text) :]
        # Only whole CRLFs are empty lines; the edge lets no other CR or LF through.
        if text:
            for start in range(0, self._breaks, PIECE // 2):
                self._update(b"\r\n" * min(PIECE // 2, self._breaks - start))
            self._update(text)
            self._breaks = 0
        self._breaks += tail.count(b"\r\n")

    def _update(self, octets: bytes) -> None:
        self._hash.update(octets)
        self._length += len(octets)
