"""What a client has sent and nobody has read yet: whole commands, or content as it comes (RFC 5321 2.3.8).

CRLF alone ends a command, and none has NUL, CR or LF in it. What is no command is refused as soon as that is certain,
and nothing up to its CRLF is ever taken for one. Pure: it waits for nobody.
"""

from __future__ import annotations

import re

from relay.errors import Rejected

COMMAND_LIMIT = 4096
"""Octets of a command line (RFC 5321 4.5.3.1.4 wants 512, and each extension more)."""

_ODD = re.compile(rb"[\0\r\n]")


class BadLine(Rejected):
    """What is no command. ``said``: how it begins."""

    def __init__(self, text: str, said: bytes) -> None:
        super().__init__(500, "5.5.2", text)
        self.said = said


class Lines:
    """The unread octets of one session."""

    __slots__ = ("_discarding", "_octets")

    def __init__(self) -> None:
        self._octets = bytearray()
        self._discarding = False  # up to the next CRLF

    def __len__(self) -> int:
        return len(self._octets)

    def feed(self, octets: bytes) -> None:
        """What has just come."""
        self._octets += octets

    def clear(self) -> None:
        self._octets.clear()

    def command(self) -> bytes | None:
        """The next command without its CRLF; None where more is needed. Raises BadLine, once for each."""
        if self._discarding and not self._discard():
            return None
        octets = self._octets
        end = octets.find(b"\r\n")
        if end < 0:
            # Told before its end has come: a client that never sends a CRLF would wait for ever.
            self._discarding = len(octets) > COMMAND_LIMIT or b"\n" in octets
            if self._discarding:
                raise _too_long(octets) if len(octets) > COMMAND_LIMIT else _malformed(octets)
            return None
        line = bytes(octets[:end])
        del octets[: end + 2]
        if end > COMMAND_LIMIT:
            raise _too_long(line)
        if _ODD.search(line):
            raise _malformed(line)
        return line

    def chunk(self, most: int | None = None) -> bytearray:
        """Everything there is, as content; or at most so many octets of it."""
        if most is None or most >= len(self._octets):
            chunk, self._octets = self._octets, bytearray()
        else:
            chunk = self._octets[:most]
            del self._octets[:most]
        return chunk

    def head(self, most: int) -> bytes:
        """The first octets, which stay where they are."""
        return bytes(self._octets[:most])

    def skip(self, size: int) -> None:
        """Drop the first octets."""
        del self._octets[:size]

    def put_back(self, octets: bytes) -> None:
        """What was taken as content and stood behind its end."""
        self._octets[:0] = octets

    def _discard(self) -> bool:
        """Drop what is left of a refused line; True once its end was there."""
        end = self._octets.find(b"\r\n")
        if end < 0:
            del self._octets[:-1]
            return False
        del self._octets[: end + 2]
        self._discarding = False
        return True


def _too_long(line: bytes | bytearray) -> BadLine:
    return BadLine("Line too long", bytes(line[:COMMAND_LIMIT]))


def _malformed(line: bytes | bytearray) -> BadLine:
    return BadLine("Commands should end with CRLF and have no NUL, CR or LF in them", bytes(line[:COMMAND_LIMIT]))
