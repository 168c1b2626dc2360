"""Our Received line: who brought a message, to whom, how, when (RFC 5321 4.4, RFC 3848).

One line that every parser of mail can read, folded, whatever the client called itself. Names are not looked up.
"""

from __future__ import annotations

import re
from email.utils import formatdate
from functools import lru_cache

from relay.mail import Client

_NAME_LIMIT = 255  # RFC 5321 4.5.3.1.2
_FOLD = 78  # RFC 5322 2.1.1
_NAME = re.compile(r"[A-Za-z0-9._-]+|\[[A-Za-z0-9.:]+\]")
_ODD = re.compile(r"[^A-Za-z0-9._-]")


def received_line(client: Client, hostname: str, count: int, at: float) -> bytes:
    """The header field with its CRLF. ``count``: of the node's transactions; ``at``: POSIX seconds."""
    name = client.helo[:_NAME_LIMIT]
    if not _NAME.fullmatch(name):
        name = _ODD.sub("?", name)
    address = f"([{'IPv6:' if ':' in client.ip else ''}{client.ip}])"
    first = f"Received: from {name}"
    first += f" {address}" if len(first) + 1 + len(address) <= _FOLD else f"\r\n\t{address}"
    second = f"\tby {hostname} with {client.protocol} id {int(at):X}.{count:X};"
    return f"{first}\r\n{second}\r\n\t{_date(int(at))}\r\n".encode("ascii", "replace")


@lru_cache(maxsize=4)
def _date(at: int) -> str:
    return formatdate(at)[:-5] + "+0000"
