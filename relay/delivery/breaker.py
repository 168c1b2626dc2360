"""Stops a drain when the primary that came back refuses people who exist.

A primary that has just been rebuilt may answer ``550 no such user`` to everyone until its directory is loaded. So for
a while after a return each recipient's answer to RCPT is counted, and the drain stops when either

- three recipients who were accepted in the last 30 days are refused, or
- 80 % of at least 20 recipients are refused; where the backlog ends before there are 20, all of them.

It goes on when one of those is accepted whom it stopped for: in the first case somebody known, in the second anybody.

Pure values: each step returns a new one. Who is known, when the return was, and what follows, is the caller's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

WINDOW = 900.0
"""Seconds after a return during which refusals are counted, and held instead of failed."""

KNOWN_FOR = 30 * 86400.0
"""Seconds for which a delivery makes a recipient known."""

KNOWN_LIMIT = 3
SHARE_OF = 20
SHARE = 0.8


@dataclass(frozen=True, slots=True)
class Trip:
    """Why the drain stops, in words for a ticket; whom to ask about until it may go on; whether these are known."""

    reason: str
    addresses: tuple[str, ...]
    known: bool


@dataclass(frozen=True, slots=True)
class Breaker:
    """What the recipients of one drain were told at RCPT, so far.

    ``refused``: the last of those who got 5xx, ``known``: of all of them those who were accepted not long ago.
    """

    tried: int = 0
    refusals: int = 0
    refused: tuple[str, ...] = ()
    known: tuple[str, ...] = ()

    def answered(self, recipients: int) -> Breaker:
        """So many recipients were taken, or put off (4xx): neither says that they don't exist."""
        return replace(self, tried=self.tried + recipients)

    def refuse(self, address: str, *, known: bool) -> Breaker:
        """A recipient got 5xx."""
        refused = (*(other for other in self.refused if other != address), address)[-SHARE_OF:]
        more = known and address not in self.known and len(self.known) < KNOWN_LIMIT
        return Breaker(self.tried + 1, self.refusals + 1, refused, (*self.known, address) if more else self.known)

    def trip(self, *, exhausted: bool) -> Trip | None:
        """Whether the drain has to stop. ``exhausted``: nothing is left to try."""
        if len(self.known) >= KNOWN_LIMIT:
            names = ", ".join(self.known)
            return Trip(f"recipients who were accepted in the last 30 days are refused: {names}", self.known, True)
        if self.tried >= SHARE_OF and self.refusals >= SHARE * self.tried:
            return Trip(f"{self.refusals} of {self.tried} recipients are refused", self.refused, False)
        if exhausted and 0 < self.tried == self.refusals < SHARE_OF:
            everyone = "the only recipient is" if self.tried == 1 else f"all {self.tried} recipients are"
            return Trip(f"{everyone} refused", self.refused, False)
        return None
