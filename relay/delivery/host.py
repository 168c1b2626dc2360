"""One host of an appliance, as one drain sees it: how many connections it takes, whether it rests, whether it answers.

Each host has a ramp of its own: that one is down, or full, says nothing of another. A host that couldn't be connected
to rests for a while, longer each time in a row, and then gets a single try. Opens no connection itself; ``now`` is
monotonic seconds.
"""

from __future__ import annotations

from dataclasses import replace

from relay.appliances.model import Primary
from relay.delivery.ramp import Ramp

RESTS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Seconds of rest after the first, second … failure in a row; the last one from then on."""
OPENING = 10.0
"""Seconds that a session may take to begin where another host could have the mail; twice as many after each failure,
for there are servers that let everybody wait on purpose."""
LONGEST_OPENING = 300.0
SILENT = 60.0
"""Seconds without any answer after which other hosts get the mail that this one isn't busy with."""


class Host:
    """``ramp``: how many connections it may have."""

    def __init__(self, primary: Primary, ramp: Ramp) -> None:
        self.primary = primary
        self.ramp = ramp
        self.connections = 0
        """Sent there and not come back."""
        self.leaving = 0
        """Of these, those that take nothing more."""
        self.failures = 0
        """In a row; an answer ends the row."""
        self.in_hand = 0
        """Messages given to its connections that have no answer yet."""
        self._rests_until = 0.0
        self._heard_at = 0.0
        self._answers = 0
        self._seconds: list[float] = []

    # Whether it may have more

    def room(self, now: float) -> int:
        """So many more connections may be sent there."""
        if self.rests(now):
            return 0
        if self.failures:
            return 0 if self.connections else 1
        return max(self.ramp.width - self.connections, 0)

    def rests(self, now: float) -> bool:
        return now < self._rests_until

    def passes_on(self, now: float) -> bool:
        """Whether mail goes to less preferred hosts as well: it failed, is silent, or said that it is full."""
        return self.failures > 0 or self.rests(now) or self.ramp.full or self.silent(now)

    @property
    def crowded(self) -> bool:
        """More connections than it may have now."""
        return self.connections - self.leaving > self.ramp.width

    @property
    def patience(self) -> float:
        """Seconds for a session to begin, where others could have the mail."""
        return min(OPENING * 2.0 ** min(self.failures, 10), LONGEST_OPENING)

    def silent(self, now: float) -> bool:
        """It has messages, and hasn't answered anything for long."""
        return self.in_hand > 0 and now - self._heard_at > SILENT

    # What happens

    def given(self, now: float) -> None:
        """One of its connections takes a message."""
        if not self.in_hand:
            self._heard_at = now
        self.in_hand += 1

    def done(self) -> None:
        """A message that was given has its end, whatever that is."""
        self.in_hand -= 1

    def answered(self, now: float) -> None:
        """It has answered a message."""
        self.failures, self._rests_until, self._heard_at = 0, 0.0, now

    def clean(self, era: int, seconds: float | None) -> bool:
        """A message begun in ``era`` was answered as it should be. ``seconds``: of the reply to the end of its data,
        None where that says nothing. True where the ramp has changed."""
        if era != self.ramp.era:
            return False
        self._answers += 1
        if seconds is not None:
            self._seconds.append(seconds)
        if self._answers < self.ramp.round:
            return False
        return self._becomes(self.ramp.after_round(self._seconds))

    def failed(self, now: float) -> None:
        """It couldn't be used: let it rest. Those who find that out together have found it out once."""
        if self.rests(now):
            return
        self._rests_until = now + RESTS[min(self.failures, len(RESTS) - 1)]
        self.failures += 1

    def pushed_back(self, era: int, why: str) -> bool:
        """It won't have more. True where the ramp has changed."""
        return self._becomes(self.ramp.pushed_back(era, why))

    def lost(self, era: int, why: str) -> bool:
        """It takes nobody at all. True where the ramp has changed."""
        return self._becomes(self.ramp.lost(era, why))

    def begin_anew(self, ramp: Ramp) -> None:
        """As gently as at the first return; what is under way says nothing of that."""
        self._becomes(replace(ramp, era=self.ramp.era + 1))

    def limited(self, limit: int) -> bool:
        """An operator has set another limit. True where the ramp has changed."""
        return self._becomes(self.ramp.limited(limit))

    def _becomes(self, ramp: Ramp) -> bool:
        """A new round begins, unless nothing was decided."""
        before, self.ramp = self.ramp, ramp
        if ramp is before:
            return False
        self._answers = 0
        self._seconds.clear()
        return ramp != before
