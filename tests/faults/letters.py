"""What the clients send: a letter for each number, the same for the same number, so that both ends know each other's.

They are cheap to make, a million of them take a few seconds, and no two are alike. What is hard to carry is tested
elsewhere (tests/lab/letters.py); of that these have only a line that begins with a dot.
"""

from __future__ import annotations

import base64
import random
import re
from dataclasses import dataclass

SENDER = "sender@world.example"
DOMAIN = "gold.example"

_POOL = base64.encodebytes(random.Random(1).randbytes(400_000)).replace(b"\n", b"\r\n")
_LINE = 78
_LINES = len(_POOL) // _LINE - 1
_RECIPIENT = re.compile(rf"n(\d+)@{re.escape(DOMAIN)}")


@dataclass(frozen=True, slots=True)
class Letters:
    """Of so many ``lines``, 78 octets each; they compress to three quarters."""

    lines: int = 20

    def content(self, number: int) -> bytes:
        """The whole letter with CRLF line ends, not dot-stuffed."""
        first = number * 7919 % (_LINES - self.lines)
        return (
            b"From: <%s>\r\nTo: <%s>\r\nSubject: number %d\r\nMessage-ID: <%d@world.example>\r\n\r\n.%d\r\n"
            % (SENDER.encode(), recipient(number).encode(), number, number, number)
            + _POOL[first * _LINE : (first + self.lines) * _LINE]
        )


def recipient(number: int) -> str:
    """Each letter has one of its own, which tells its number at the other end too."""
    return f"n{number}@{DOMAIN}"


def number_of(address: str) -> int | None:
    """The number of the letter to that recipient; None where there is no such."""
    match = _RECIPIENT.fullmatch(address)
    return int(match[1]) if match else None
