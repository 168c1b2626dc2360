"""The mbox format, as ``mutt`` and Python's ``mailbox`` read it: mboxrd, in which every quoting can be undone.

Lines end in LF there. What can't be beside a message in a mailbox, its envelope, stands above it: the sender in the
``From`` line and in Return-Path, as a final delivery leaves it, each recipient in X-Envelope-To. All of it is above our
Received line, so the message below, and what DKIM signs, is the same once its lines end in CRLF again.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator

_FROM = re.compile(rb"(\n>*)(From )")
_UNSURE = re.compile(rb"(?:\r|(?<=[\n>])F(?:r(?:om?)?)?)\Z")
"""The end of a piece which what follows decides about."""


def separator(sender: str, received_at: float) -> bytes:
    """The line that begins a message. ``sender``: empty for the null sender; blanks in it would end it."""
    who = re.sub(r"\s", "_", sender) or "MAILER-DAEMON"
    return f"From {who} {time.asctime(time.gmtime(received_at))}\n".encode()


def envelope_lines(sender: str, recipients: Iterable[str]) -> bytes:
    lines = [f"Return-Path: <{sender}>", *(f"X-Envelope-To: <{address}>" for address in recipients)]
    return "".join(f"{line}\n" for line in lines).encode()


def quoted(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """A message in pieces, quoted, with the empty line that ends it. Holds no more than a piece, however long a line
    is: a quote is added in front of ``From``, behind those that are there, which are the same characters."""
    held, begins = b"", True  # whether a line begins here, quotes aside
    last = b""
    for piece in pieces:
        text = held + piece
        unsure = _UNSURE.search((b"\n" + text if begins else text)[-6:])
        held = unsure.group() if unsure else b""
        text = text.removesuffix(held).replace(b"\r\n", b"\n")
        if not text:
            continue
        text = _FROM.sub(rb"\1>\2", b"\n" + text)[1:] if begins else _FROM.sub(rb"\1>\2", text)
        run = text.rstrip(b">")
        begins = run.endswith(b"\n") or (begins and not run)
        last = text[-1:]
        yield text
    if held:
        last = held
        yield held
    yield b"\n" if last.endswith(b"\n") else b"\n\n"
