"""Letters that are hard to carry, and what became of them.

:func:`letter` writes letter number *n*: distinct, numbered by its Message-ID, of one of several kinds that mail servers
have been known to damage. The rest reads them back from a mailbox, where Postfix keeps them with LF line ends and with
the trace headers of every host on top.
"""

from __future__ import annotations

import base64
import random
import re
from collections.abc import Iterable

KINDS = 8


def letter(number: int) -> bytes:
    """One whole message with CRLF line ends, not dot-stuffed; the same for the same number."""
    head = (
        b"From: Sender <sender@world.example>\r\nTo: <anyone@gold.example>\r\n"
        b"Subject: letter %d\r\nMessage-ID: <%d@world.example>\r\n" % (number, number)
    )
    return head + _rest(number, random.Random(number)).replace(b"\n", b"\r\n")


def _rest(number: int, dice: random.Random) -> bytes:
    plain = b"\n" + b"".join(b"Line %d of letter %d.\n" % (line, number) for line in range(dice.randrange(1, 40)))
    match number % KINDS:
        case 1:  # dots where the end of data is told by a dot
            return b"\n.\n..\n.dot\n...\n" + plain + b".\n\n.\n"
        case 2:  # 8-bit text in no declared character set, each byte that text may have
            return b"\n" + bytes(byte for byte in range(0x20, 0x100) if byte != 0x7F) * dice.randrange(1, 4) + b"\n"
        case 3:  # lines over the 998 octets of RFC 5322 2.1.1, one of them beginning with a dot
            return b"\n" + b"long " * dice.randrange(300, 1200) + b"\n." + b"x" * 2500 + b"\n"
        case 4:  # headers that nobody else writes: folded, empty, repeated, 8-bit, trailing blanks
            return b"X-Fold: a\n\tb\n  c\nX-Empty:\nX-Odd: one \nx-odd: two\t\nX-Raw: gr\xfc\xdfe\n" + plain
        case 5:  # an attachment
            return b"Content-Transfer-Encoding: base64\n\n" + base64.encodebytes(dice.randbytes(100_000))
        case 6:  # blank lines at the end, and blanks at the ends of lines
            return plain + b"trailing \t \n   \n" + b"\n" * dice.randrange(1, 9)
        case 7:  # what looks like trace headers and mailbox separators in the body
            return b"\nReceived: by nobody\nFrom someone\n>From quoted\n-- \n" + plain
        case _:
            return plain


def numbered(stored: Iterable[bytes]) -> dict[int, list[bytes]]:
    """The messages of a mailbox by the number of their letter: each number should have one."""
    found: dict[int, list[bytes]] = {}
    for message in stored:
        match = re.search(rb"^Message-ID: <(\d+)@world\.example>$", message, re.MULTILINE)
        assert match, f"nobody sent this: {message[:2000]!r}"
        found.setdefault(int(match[1]), []).append(message)
    return found


def below(message: bytes, host: str) -> bytes:
    """What ``host`` was handed: everything below the one Received line that it put on top of it."""
    lines = list(re.finditer(rb"^Received: [^\n]*\n(?:[ \t][^\n]*\n)*", message, re.MULTILINE))
    ours = [line for line in lines if re.search(rb"\sby %s\s" % re.escape(host.encode()), line[0])]
    assert len(ours) == 1, f"{len(ours)} Received lines by {host}: {message[:2000]!r}"
    return message[ours[0].end() :]


def as_stored(content: bytes) -> bytes:
    """``content`` as a mailbox keeps it."""
    return content.replace(b"\r\n", b"\n")
