"""What may reach a terminal: senders choose addresses, Message-IDs and HELO names, primaries choose replies.

Nothing that isn't printable passes as it came: control characters would move the cursor, and marks that turn the
direction of writing would make an address look like another one. They are shown as escapes instead.
"""

from __future__ import annotations

import re

_SUSPECT = re.compile(r"[^ -~\n]+")


def printable(text: str) -> str:
    """``text`` in one line: whatever doesn't print as an escape, such as \\x1b."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)


def printable_json(text: str) -> str:
    """The same for JSON, where escapes keep the meaning; its newlines stand only between values, and stay."""
    return _SUSPECT.sub(lambda match: "".join(map(_json_escape, match[0])), text)


def _json_escape(one: str) -> str:
    if one.isprintable():
        return one
    units = one.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[place : place + 2].hex()}" for place in range(0, len(units), 2))
