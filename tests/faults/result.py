"""What a fault is, and what came of it: a line of the scoreboard."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.faults.engines import Engine


@dataclass(frozen=True)
class Fault:
    """``title``: for the table; ``runs``: how many make the long one; ``story``: tells it so many times, in a folder.

    ``within``: seconds in which the relay has to take mail again (or whatever ``recovery`` calls it).
    """

    name: str
    title: str
    runs: int
    story: Callable[[Engine, int, Path], Awaitable[Result]]
    within: float | None = None
    recovery: str = "accepts again"
    engines: tuple[str, ...] = ("sqlite", "postgresql")


@dataclass(frozen=True)
class Result:
    """``accepted``: letters that got 250; ``lost``: of those, found nowhere; ``doubled``: copies too many at the
    primary; ``in_flight``: letters that may have been doubled; ``strange``: replies that aren't 250, 4xx or 421, and
    whatever else a client should never see, by kind; ``recoveries``: seconds; ``wrong``: everything else that isn't
    as it should be, in words.
    """

    engine: str
    runs: int
    accepted: int
    lost: int
    doubled: int
    in_flight: int
    strange: Mapping[str, int] = field(default_factory=dict)
    recoveries: tuple[float, ...] = ()
    wrong: tuple[str, ...] = ()
    note: str = ""
    """What was measured besides."""
    seconds: float = 0.0
    log: str = ""
    """The end of what the nodes said, for whoever looks into what went wrong."""

    def with_wrong(self, more: Iterable[str]) -> Result:
        """The same, and what else is wrong."""
        return replace(self, wrong=(*self.wrong, *more))

    def noted(self, note: str) -> Result:
        """The same, and what was measured."""
        return replace(self, note=note)

    def __add__(self, other: Result) -> Result:
        """Both stories as one; the log is of the first that went wrong."""
        return Result(
            self.engine,
            self.runs + other.runs,
            self.accepted + other.accepted,
            self.lost + other.lost,
            self.doubled + other.doubled,
            self.in_flight + other.in_flight,
            Counter(self.strange) + Counter(other.strange),
            self.recoveries + other.recoveries,
            self.wrong + other.wrong,
            self.note or other.note,
            self.seconds + other.seconds,
            self.log if self.broken else other.log,
        )

    @property
    def broken(self) -> tuple[str, ...]:
        """Promises that weren't kept; how quick it was is no part of it."""
        found = [f"{self.lost} of {self.accepted} letters are lost"] if self.lost else []
        if self.doubled > self.in_flight:
            found.append(f"{self.doubled} copies too many, of {self.in_flight} letters in flight")
        found += [f"{count} × {what}" for what, count in self.strange.items()]
        return (*found, *self.wrong)

    @property
    def median(self) -> float | None:
        return statistics.median(self.recoveries) if self.recoveries else None

    @property
    def slowest(self) -> float | None:
        return max(self.recoveries, default=None)

    def verdict(self, fault: Fault) -> str:
        """'held', or what wasn't."""
        late = fault.within is not None and self.slowest is not None and self.slowest > fault.within
        slow = (f"{self.slowest:.1f} s, {fault.within:.0f} s are allowed",) if late else ()
        return "; ".join((*self.broken, *slow)) or "held"
