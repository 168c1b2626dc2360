"""Greylisting: a stranger is put off once, and taken when the same address tries the same letter again later.

Recognised by what is said: the word itself, or 450 and 451 with 4.7.1 (RFC 6647, Postfix's own policy) at the first
attempt, or a time after which to come again. What is recognised is no trouble of the primary, and no reason to press it
less: it is waited out, for as long as was said, else for five minutes, and tried again at the same host, by the same
name and, because the host's address is the same one, from the same address of ours.

Pure but for :class:`Appointments`, which remembers who is expected where.
"""

from __future__ import annotations

import re
from collections import OrderedDict

from relay.appliances.model import Primary
from relay.smtp.failure import Stage
from relay.smtp.transaction import Answer

USUAL = 300.0
"""Seconds to wait where nothing was said: what most greylisting asks for."""
LONGEST = 1800.0
"""Seconds that are waited at most, whatever was said."""
SPARE = 1.0
"""Seconds on top of what was said: clocks differ, and a second too early begins the wait anew."""
ATTEMPTS = 4
"""So often somebody may be greylisted who says so; after that it is a deferral like any other."""
KEPT = 100_000
"""Recipients that are remembered at most."""

_WORD = re.compile(r"gr[ae]y[ -]?list", re.IGNORECASE)
_TIME = re.compile(
    r"\b(?:in|after|for|wait|within|least|another)\s+(?:about\s+|another\s+|at\s+least\s+)?"
    r"(\d{1,5})\s*(s|sec|secs|seconds?|m|min|mins|minutes?)\b",
    re.IGNORECASE,
)
_CLOCK = re.compile(r"\b(?:in|after)\s+(\d{1,2}):(\d\d):(\d\d)\b", re.IGNORECASE)


def wait(answer: Answer, attempts: int) -> float | None:
    """Seconds until the next attempt of a recipient that was greylisted, having been tried ``attempts`` times before;
    None where this is no greylisting."""
    reply = answer.reply
    if not reply.temporary or reply.code == 421 or answer.local or answer.stage is Stage.MAIL:
        return None
    word = bool(_WORD.search(reply.text)) and attempts < ATTEMPTS
    policy = not attempts and reply.code in (450, 451) and reply.enhanced == "4.7.1"
    said = _said(reply.text) if word or not attempts else None
    if said is None and not word and not policy:
        return None
    return min((USUAL if said is None else said) + SPARE, LONGEST)


def _said(text: str) -> float | None:
    """The seconds after which to come again, where the text names them."""
    if match := _CLOCK.search(text):  # milter-greylist: 00:04:30
        return int(match[1]) * 3600.0 + int(match[2]) * 60.0 + int(match[3])
    if match := _TIME.search(text):
        return int(match[1]) * (1.0 if match[2].lower().startswith("s") else 60.0)
    return None


class Appointments:
    """Which host has put a recipient off: another one would only put it off again. One for each node, in memory."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._hosts: OrderedDict[int, Primary] = OrderedDict()

    def make(self, recipient_id: int, host: Primary) -> None:
        self._hosts[recipient_id] = host
        if len(self._hosts) > self._kept:
            self._hosts.popitem(last=False)

    def host(self, recipient_id: int) -> Primary | None:
        return self._hosts.get(recipient_id) if self._hosts else None

    def over(self, recipient_id: int) -> None:
        """It was answered in another way."""
        self._hosts.pop(recipient_id, None)
