"""Is it them, or is it us? Whether this node may call anything down, or is itself cut off from the network.

A reference host that answers settles it. Without one, more than half of at least three endpoints that fail together
make a node doubt itself, where only what was probed since the failure began counts as answering. Endpoints of
appliances that are called down already are left out: two old outages don't cast doubt on a third. Where other nodes
live they are asked first (vantage); this is for when none has seen the same.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Sequence

from relay.appliances.model import Primary
from relay.appliances.mx import Endpoints
from relay.errors import LookupFailed

ENDPOINTS_LEAST = 3
"""Endpoints that must be watched before their failing together says anything about us."""


def cut_off(*, failing: int, answering: int, watched: int, reference: bool | None) -> bool:
    """Whether this node must take itself for cut off.

    ``failing`` and ``answering`` endpoints, of ``watched`` ones; ``reference``: whether a reference host answers, None
    where none is set. One that is silent says no more than none: mistyped, it must not keep every outage quiet.
    """
    return not reference and watched >= ENDPOINTS_LEAST and failing > answering


class Census:
    """Which endpoints answer and which fail, each since the start of a probe, on the clock of those starts."""

    def __init__(self) -> None:
        self._failing: dict[Primary, float] = {}
        self._answering: dict[Primary, float] = {}  # in the order of the last answer
        self._down: set[Primary] = set()

    def note(self, primary: Primary, *, answers: bool, started: float) -> None:
        """A probe that began at ``started`` was answered, or wasn't."""
        self._answering.pop(primary, None)
        if answers:
            self._failing.pop(primary, None)
            self._down.discard(primary)
            self._answering[primary] = started
        elif primary not in self._down:
            self._failing.setdefault(primary, started)

    def call_down(self, primary: Primary) -> None:
        """It is known to be down: until it answers again it says nothing about us."""
        self.forget(primary)
        self._down.add(primary)

    def forget(self, primary: Primary) -> None:
        for known in (self._failing, self._answering):
            known.pop(primary, None)
        self._down.discard(primary)

    def failing_since(self, primaries: Iterable[Primary]) -> float:
        """When the first failing probe began at the one of ``primaries`` that failed last."""
        return max((self._failing.get(primary, float("-inf")) for primary in primaries), default=float("-inf"))

    def answering(self, count: int) -> list[Primary]:
        """Up to ``count`` endpoints that answered last."""
        return list(itertools.islice(reversed(self._answering), count))

    def unasked(self, since: float, count: int) -> list[Primary]:
        """Up to ``count`` endpoints that answered, but haven't been probed ``since`` then; the longest ago first."""
        oldest = itertools.takewhile(lambda pair: pair[1] < since, self._answering.items())
        return [primary for primary, _ in itertools.islice(oldest, count)]

    def describe(self) -> str:
        """How many of those that aren't known to be down fail, in words."""
        return f"{len(self._failing)} of {len(self._failing) + len(self._answering)} primaries"

    def cut_off(self, since: float, reference: bool | None) -> bool:
        """:func:`cut_off`, by what was probed ``since`` the failure began that one would like to call down."""
        failing = len(self._failing)
        lately = itertools.takewhile(lambda started: started >= since, reversed(self._answering.values()))
        answering = sum(1 for _ in itertools.islice(lately, failing))  # more than that makes no difference
        watched = failing + len(self._answering)
        return cut_off(failing=failing, answering=answering, watched=watched, reference=reference)


async def any_answers(references: Sequence[Primary], endpoints: Endpoints, timeout: float) -> bool:
    """Whether one of the reference hosts takes a TCP connection within ``timeout`` seconds."""
    attempts = [asyncio.create_task(_answers(reference, endpoints)) for reference in references]
    try:
        async with asyncio.timeout(timeout):
            for attempt in asyncio.as_completed(attempts):
                if await attempt:
                    return True
    except TimeoutError:
        pass
    finally:
        for attempt in attempts:
            attempt.cancel()
        await asyncio.gather(*attempts, return_exceptions=True)
    return False


async def _answers(reference: Primary, endpoints: Endpoints) -> bool:
    try:
        for address in await endpoints.addresses(reference):
            try:
                _, writer = await asyncio.open_connection(address, reference.port)
            except OSError:
                continue
            writer.close()
            return True
    except LookupFailed:
        pass  # no answer is what we wanted to know
    return False
