"""What deliveries and probes have shown of an appliance lately: written by delivery and watch, read by watch.

In memory: a window of ten minutes in slices of one, so that writing costs the same however much mail flows, and
memory is bounded: replies are counted by duration in steps of a quarter. Lost with the process or the appliance:
evidence is about now, and what followed from it (health) is what whoever comes next begins with. ``now`` is POSIX
seconds, durations are seconds.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass

WINDOW = 10
"""Slices of SLICE seconds that count."""
SLICE = 60.0
_STEPS = tuple(round(10.0 * 1.25**step, 4) for step in range(-24, 13))  # 47 ms to 146 s, and exactly 10 s


@dataclass(frozen=True, slots=True)
class View:
    """The last ten minutes. ``p95_reply``: 95 % of ``replies`` came within so many seconds, None where there were
    none. ``deferred`` of ``recipients`` got 4xx. ``oldest_since``: since when the oldest mail waits that is neither
    deferred nor held (its receipt or the return, whichever is later), None where none does. ``refusal``: the 5xx to
    MAIL by which the primary refuses us, or empty. ``looked``: whether it has been looked yet if mail waits."""

    p95_reply: float | None = None
    replies: int = 0
    recipients: int = 0
    deferred: int = 0
    oldest_since: float | None = None
    refusal: str = ""
    looked: bool = False


class _Slice:
    __slots__ = ("deferred", "durations", "number", "recipients")

    def __init__(self, number: int) -> None:
        self.number = number
        self.durations: list[int] | None = None
        self.recipients = 0
        self.deferred = 0


class _Record:
    __slots__ = ("looked", "oldest_since", "refusal", "refused_at", "slices")

    def __init__(self) -> None:
        self.slices: deque[_Slice] = deque(maxlen=WINDOW + 1)
        self.looked = False
        self.oldest_since: float | None = None
        self.refusal = ""
        self.refused_at = float("-inf")

    def slice(self, now: float) -> _Slice:
        number = int(now // SLICE)
        if not self.slices or self.slices[-1].number < number:
            self.slices.append(_Slice(number))
        return self.slices[-1]


class Evidence:
    """One for each node; used on the loop alone."""

    def __init__(self) -> None:
        self._records: dict[int, _Record] = {}

    def note_reply(self, appliance_id: int, seconds: float, now: float) -> None:
        """A reply of the primary took so long."""
        current = self._record(appliance_id).slice(now)
        if current.durations is None:
            current.durations = [0] * (len(_STEPS) + 1)
        current.durations[bisect_left(_STEPS, seconds)] += 1

    def note_recipient(self, appliance_id: int, temporary: bool, now: float) -> None:
        """A recipient was answered, with 4xx or not. The first answer of a greylisting isn't noted."""
        record = self._record(appliance_id)
        current = record.slice(now)
        current.recipients += 1
        current.deferred += temporary
        if not temporary:
            record.refusal = ""

    def note_oldest(self, appliance_id: int, waiting_since: float | None) -> None:
        """Since when the oldest mail waits that is neither deferred nor held; None: there is none."""
        record = self._record(appliance_id)
        record.looked, record.oldest_since = True, waiting_since

    def note_refusal(self, appliance_id: int, reply: str, now: float) -> None:
        """The primary refuses us as such with 5xx at MAIL: whoever the sender is. Holds for ten minutes, or until a
        recipient is answered."""
        record = self._record(appliance_id)
        record.refusal = reply
        record.refused_at = now

    def view(self, appliance_id: int, now: float) -> View:
        record = self._records.get(appliance_id)
        if record is None:
            return View()
        first = int(now // SLICE) - WINDOW
        while record.slices and record.slices[0].number <= first:
            record.slices.popleft()
        durations = [sum(column) for column in zip(*(s.durations for s in record.slices if s.durations), strict=True)]
        return View(
            _p95(durations),
            sum(durations),
            sum(each.recipients for each in record.slices),
            sum(each.deferred for each in record.slices),
            record.oldest_since,
            record.refusal if now - record.refused_at < WINDOW * SLICE else "",
            record.looked,
        )

    def forget(self, appliance_id: int) -> None:
        """The appliance is no longer ours, or no more."""
        self._records.pop(appliance_id, None)

    def _record(self, appliance_id: int) -> _Record:
        record = self._records.get(appliance_id)
        if record is None:
            record = self._records[appliance_id] = _Record()
        return record


def _p95(durations: list[int]) -> float | None:
    """The upper end of the step in which the 95th percentile lies; None of nothing."""
    total = sum(durations)
    passed = 0
    for step, count in enumerate(durations):
        passed += count
        if total and passed >= 0.95 * total:
            return _STEPS[min(step, len(_STEPS) - 1)]
    return None
