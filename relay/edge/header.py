"""What the edge reads in a message's header, and nothing more: its Message-ID, and where it has been before.

Bounded: of a header longer than LIMIT only the beginning is looked at. Never fails on what a stranger wrote.
"""

from __future__ import annotations

import re
from collections.abc import Set
from dataclasses import dataclass

LIMIT = 256 * 1024
MESSAGE_ID_LIMIT = 500
MOST_HOPS = 100
"""Received fields that a message may have (RFC 5321 6.3 wants at least 100)."""
OWN_HOPS = 4
"""Received fields of ours at which a message goes round in circles."""

_RECEIVED = b"\nreceived:"
_MESSAGE_ID = b"\nmessage-id:"
_FIELD_END = re.compile(rb"\r\n(?![ \t])")
_BY = re.compile(rb"\sby\s+([^\s;()]+)")


@dataclass(frozen=True, slots=True)
class Header:
    """``message_id``: as text, empty where there is none. ``loops``: the message has been around for too long."""

    message_id: str
    loops: bool


def head(content: bytes) -> bytes:
    """What :func:`survey` reads of a message, or of its beginning: its header, the empty line included."""
    if content.startswith(b"\r\n"):
        return content[:2]
    end = content.find(b"\r\n\r\n", 0, LIMIT)
    return content[: LIMIT if end < 0 else end + 4]


def survey(content: bytes, own_names: Set[str]) -> Header:
    """Look at the header of ``content``, or of its beginning. ``own_names``: host names of ours, in lower case."""
    header = b"\n" + head(content)
    lower = header.lower()
    found = lower.find(_MESSAGE_ID)
    message_id = _text(header, found + len(_MESSAGE_ID)) if found >= 0 else ""
    hops = lower.count(_RECEIVED)
    loops = hops > MOST_HOPS or (hops >= OWN_HOPS and _own(lower, own_names) >= OWN_HOPS)
    return Header(message_id, loops)


def _text(header: bytes, start: int) -> str:
    """The field body that begins at ``start``, unfolded."""
    end = _FIELD_END.search(header, start)
    body = header[start : end.start() if end else len(header)]
    return " ".join(body.replace(b"\0", b" ").decode("utf-8", "replace").split())[:MESSAGE_ID_LIMIT]


def _own(lower: bytes, names: Set[str]) -> int:
    """How many Received fields say that one of ``names`` wrote them."""
    own = 0
    at = lower.find(_RECEIVED)
    while at >= 0:
        after = lower.find(_RECEIVED, at + 1)
        by = _BY.search(lower, at, after if after >= 0 else len(lower))
        own += by is not None and by[1].decode("ascii", "replace").rstrip(".") in names
        at = after
    return own
