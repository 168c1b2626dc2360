"""Stops a drain when the primary that came back refuses people who exist, or everything.

A primary that has just been rebuilt may answer ``550 no such user`` to everyone until its directory is loaded. So for
a while after a return each recipient's answer to RCPT is counted, and the drain stops when either

- three recipients who were accepted in the last 30 days are refused, or
- 80 % of at least 20 recipients are refused; where the backlog ends before there are 20, all of them.

It goes on when one of those is accepted whom it stopped for: in the first case somebody known, in the second anybody.

A primary whose content filter is broken knows everybody, and refuses all mail at the end of the data. So the drain also
stops where nothing at all has been taken since the return, and 20 recipients are refused, wherever in the dialogue; or
all, where the backlog ends before. It goes on when anything is taken, and until then nothing of it becomes a failure,
however long that takes. One message that is taken is enough: a filter that refuses nearly everything can't be told from
one that does its work, for who floods a secondary MX with spam must not be able to stop its drain.

Pure values: each step returns a new one. Who is known, when the return was, and what follows, is the caller's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

WINDOW = 900.0
"""Seconds after a return during which refusals are counted, and held instead of failed."""

KNOWN_FOR = 30 * 86400.0
"""Seconds for which a delivery makes a recipient known."""

KNOWN_LIMIT = 3
SHARE_OF = 20
SHARE = 0.8

PROBE_EVERY = 30.0
"""Seconds between two attempts while the drain is stopped."""
RARELY = 600.0
"""The same at most, where an attempt is a whole message that is likely to be refused: servers count those."""


@dataclass(frozen=True, slots=True)
class Trip:
    """Why the drain stops, in words for a ticket; whom to ask about until it may go on; whether these are known.

    Without ``addresses`` no question helps: the drain goes on when a message is taken.
    """

    reason: str
    addresses: tuple[str, ...] = ()
    known: bool = False


@dataclass(frozen=True, slots=True)
class Heard:
    """What the recipients of some messages were told.

    ``accepted``, ``refused`` (5xx): at RCPT; ``deferred``: how many were put off there. ``taken``: how many had the
    message delivered; ``rejected``: how many were refused for good at another stage, the last with ``reply``.
    """

    accepted: Sequence[str] = ()
    deferred: int = 0
    refused: Sequence[str] = ()
    taken: int = 0
    rejected: int = 0
    reply: str = ""


@dataclass(frozen=True, slots=True)
class Breaker:
    """What the recipients of one drain were told so far: ``tried`` of them at RCPT.

    ``refused``: the last of those who got 5xx there, ``known``: of all of them those who were accepted not long ago.
    ``rejected``: how many were refused for good at another stage, the last with ``reply``.
    """

    tried: int = 0
    deferred: int = 0
    refusals: int = 0
    refused: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    rejected: int = 0
    reply: str = field(default="", compare=False)

    def answered(self, accepted: int, deferred: int = 0) -> Breaker:
        """So many recipients were accepted, or put off (4xx): neither says that they don't exist."""
        return replace(self, tried=self.tried + accepted + deferred, deferred=self.deferred + deferred)

    def refuse(self, address: str, *, known: bool) -> Breaker:
        """A recipient got 5xx at RCPT."""
        refused = (*(other for other in self.refused if other != address), address)[-SHARE_OF:]
        more = known and address not in self.known and len(self.known) < KNOWN_LIMIT
        names = (*self.known, address) if more else self.known
        return replace(self, tried=self.tried + 1, refusals=self.refusals + 1, refused=refused, known=names)

    def reject(self, recipients: int, reply: str) -> Breaker:
        """So many recipients were refused for good, but not at RCPT."""
        return replace(self, rejected=self.rejected + recipients, reply=reply)

    def trip(self, *, exhausted: bool, taken: bool) -> Trip | None:
        """Whether the drain has to stop. ``exhausted``: nothing is left to try; ``taken``: anything was, since the
        return."""
        if len(self.known) >= KNOWN_LIMIT:
            names = ", ".join(self.known)
            return Trip(f"recipients who were accepted in the last 30 days are refused: {names}", self.known, True)
        if self.tried >= SHARE_OF and self.refusals >= SHARE * self.tried:
            return Trip(f"{self.refusals} of {self.tried} recipients are refused", self.refused, False)
        if exhausted and 0 < self.tried == self.refusals < SHARE_OF:
            everyone = "the only recipient is" if self.tried == 1 else f"all {self.tried} recipients are"
            return Trip(f"{everyone} refused", self.refused, False)
        if self.rejected and not taken:
            refusals = self.refusals + self.rejected
            if refusals >= SHARE_OF or (exhausted and not self.deferred):
                return nothing_taken(refusals, self.reply)
        return None


def nothing_taken(refusals: int, reply: str = "") -> Trip:
    """Why the drain stops where all that was tried since the return is refused for good, so many recipients."""
    everyone = "its only recipient is" if refusals == 1 else f"all {refusals} recipients so far are"
    said = f", the last with: {reply}" if reply else ""
    return Trip(f"nothing has been taken since the return, {everyone} refused{said}")


class Ending(Enum):
    """What becomes of the window once its time has passed."""

    CLOSES = "what was provisional has failed"
    TRIPS = "nothing was taken, so that refusals say nothing of the mail: the drain stops"
    STAYS_OPEN = "nothing was taken, and nothing refused yet"


def ending(*, taken: bool, refusals: int, waiting: int) -> Ending:
    """Of a window in which the breaker hasn't tripped. ``taken``: anything was; ``refusals``: recipients who are held
    because of it; ``waiting``: who are still to be tried."""
    if taken or not (refusals or waiting):
        return Ending.CLOSES
    return Ending.TRIPS if refusals else Ending.STAYS_OPEN


def probe_every(trip: Trip, stopped_for: float) -> float:
    """Seconds between two attempts, ``stopped_for`` so many: a question costs nobody anything, a whole message that is
    refused is tried ever more rarely."""
    return PROBE_EVERY if trip.addresses else min(max(PROBE_EVERY, stopped_for / 20), RARELY)
