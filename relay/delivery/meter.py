"""What one drain measures of itself: how fast recipients get somewhere, and what is in their way.

Fed by the recorder with each outcome and by the crew with each connection that failed; counted by the second, for a
minute. Knows no clock: times are those of the outcomes, and ``now``, in POSIX seconds.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, replace

from relay.appliances.progress import MINUTE, Handback
from relay.delivery.pace import Pace
from relay.queue.model import Outcome
from relay.queue.states import State
from relay.queue.tables import PLACES

PEAK_OVER = 5
"""Seconds over which the peak is taken."""
SLOW_REPLY = 2.0
"""Seconds for a reply that are worth mentioning (95th percentile)."""
HALF = 0.5
NEARLY = 0.8
"""Of the operator's ceiling: what comes so near to it is held back by it."""


@dataclass(slots=True)
class _Second:
    at: int
    moved: int = 0
    deferred: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Signs:
    """What slows a drain, as the drain sees it. ``p95_reply``: seconds, None where nothing was asked lately.
    ``unrecorded``: whether deliveries wait for outcomes to be written."""

    pace: Pace
    p95_reply: float | None
    unrecorded: bool


class Meter:
    """For one drain, from ``now`` on."""

    def __init__(self, now: float) -> None:
        self.began_at = now
        self.moved_at = now
        """When the last recipient got somewhere."""
        self._seconds: deque[_Second] = deque()
        self._reply = ""  # of the last that was deferred or refused
        self._trouble = ""
        self._trouble_at = float("-inf")
        self._handbacks: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0])
        self._peak = 0.0
        self._taken_at = now

    def note(self, outage_id: int | None, outcome: Outcome) -> None:
        """An outcome is on disk, of a recipient that is counted for this outage."""
        current = self._second(int(outcome.at))
        if outcome.state is State.QUEUED:
            current.deferred += 1
            self._reply = str(outcome.reply)
            return
        current.moved += 1
        self.moved_at = outcome.at
        if outcome.state is State.HELD:
            current.refused += 1
            self._reply = str(outcome.reply)
        if outage_id is not None:
            counts = self._handbacks[outage_id]
            counts[0] += outcome.recipient_id % PLACES == 0  # once for each message, however many parcels it takes
            counts[1] += 1

    def trouble(self, text: str, now: float) -> None:
        """A connection couldn't be had, or broke."""
        self._trouble, self._trouble_at = text, now

    def rate(self, now: float) -> float:
        """Recipients a second that got somewhere, over the last minute or since the beginning."""
        self._forget(now)
        return sum(second.moved for second in self._seconds) / max(1.0, min(MINUTE, now - self.began_at))

    def take(self, now: float) -> dict[int, Handback]:
        """What was handed over since this was last asked, by outage."""
        seconds = max(0.0, min(self.moved_at, now) - self._taken_at)
        self._note_peak()
        found = {
            outage_id: Handback(messages, recipients, seconds, self._peak)
            for outage_id, (messages, recipients) in self._handbacks.items()
        }
        self._handbacks.clear()
        self._taken_at = max(self._taken_at, self.moved_at) if found else self._taken_at
        return found

    def why(self, signs: Signs, now: float) -> str:
        """What is in the way, the two weightiest; empty where nothing is known to be."""
        self._forget(now)
        moved, deferred, refused = (
            sum(getattr(second, name) for second in self._seconds) for name in ("moved", "deferred", "refused")
        )
        tried = moved + deferred
        reasons = []
        if tried and deferred >= HALF * tried:
            reasons.append(f"the primary puts {deferred} of {tried} recipients off: {self._reply}")
        elif tried and refused >= HALF * tried:
            reasons.append(f"the primary refuses {refused} of {tried} recipients: {self._reply}")
        if now - self._trouble_at < MINUTE:
            reasons.append(self._trouble)
        if signs.p95_reply is not None and signs.p95_reply >= SLOW_REPLY:
            reasons.append(f"the primary takes {signs.p95_reply:.0f} s for a reply")
        if signs.unrecorded:
            reasons.append("this node's disk is slow to write what was delivered")
        pace = signs.pace
        if pace.max_rate is not None and self.rate(now) >= NEARLY * pace.max_rate:
            reasons.append(f"its operator allows {pace.max_rate:g} messages a second")
        if pace.why:
            reasons.append(pace.why)
        elif not pace.canary and pace.width < pace.limit:
            reasons.append(f"{pace.width} of {pace.limit} connections so far")
        return "; ".join(reasons[:2])

    def _second(self, at: int) -> _Second:
        if not self._seconds or self._seconds[-1].at < at:
            self._note_peak()
            self._seconds.append(_Second(at))
            self._forget(at)
        return self._seconds[-1]

    def _forget(self, now: float) -> None:
        while self._seconds and self._seconds[0].at <= now - MINUTE:
            self._seconds.popleft()

    def _note_peak(self) -> None:
        """Over the last five seconds in which anything moved, or as many as there were."""
        if self._seconds:
            last = self._seconds[-1].at
            moved = sum(second.moved for second in self._seconds if second.at > last - PEAK_OVER)
            span = min(PEAK_OVER, last + 1 - int(self.began_at))
            self._peak = max(self._peak, moved / max(1, span))


def merged(one: Handback, other: Handback) -> Handback:
    """Of two drains of one outage."""
    return replace(
        one,
        messages=one.messages + other.messages,
        recipients=one.recipients + other.recipients,
        seconds=one.seconds + other.seconds,
        peak=max(one.peak, other.peak),
    )
