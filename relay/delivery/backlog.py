"""What is due for one appliance, read ahead from the queue, each recipient handed out once.

Oldest first, and from the other end for who asks for the newest; who prefers some mail to other may have it out of
turn, by a few messages. Promises: no recipient is in two hands at once, and none that has an outcome is handed out
again because of a page that was read before it. A message that this program broke down at is handed out last, and not
beside another such message, so that a breakdown tells which one it was.

Holds no content and opens no connection.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Iterable, Mapping
from itertools import islice, takewhile
from typing import TypeAlias

from relay import events
from relay.clock import Clock
from relay.queue.model import Outgoing
from relay.queue.queue import Queue

PAGE = 200
"""Messages read at once; the next page is asked for when half of it is left."""
NEWEST_PAGE = 50
MOST = 5000
"""Parcels kept in memory where none of them fits anybody at the moment."""
STRETCH = 128
"""Parcels within which one may be preferred to another: no message is overtaken by more."""
STALE = 5.0
"""Seconds within which what was read and not claimed is read again, if anything changed: operators hold mail too."""
PAUSE = 1.0
"""Seconds after a reading that failed."""
SLOW = 0.05
"""Seconds after which a reading from the beginning counts as slow: where somebody keeps a transaction open, PostgreSQL
walks past all that has left since."""
SHARE = 0.1
"""Of the time that may go into slow readings, while there is more to read elsewhere."""

Fits: TypeAlias = Callable[[Outgoing], bool]


class Backlog:
    """``split`` cuts a message into parcels, for one transaction each. ``breakdowns``: how often this program broke
    down at messages, by number. ``changed`` is called when there may be something new to claim."""

    def __init__(
        self,
        queue: Queue,
        appliance_id: int,
        clock: Clock,
        split: Callable[[Outgoing], list[Outgoing]],
        breakdowns: Mapping[int, int],
        changed: Callable[[], None],
    ) -> None:
        self._queue = queue
        self._appliance_id = appliance_id
        self._clock = clock
        self._split = split
        self._breakdowns = breakdowns
        self._changed = changed
        # Parcels by the id of their first recipient, each in one of these four.
        self._oldest: dict[int, Outgoing] = {}  # in the order of receipt
        self._newest: dict[int, Outgoing] = {}  # the other way round
        self._suspects: dict[int, Outgoing] = {}
        self._claimed: dict[int, Outgoing] = {}
        self._here: set[int] = set()  # the ids of all recipients in any of them
        self._stretch_end = -1  # the last of those oldest among which there may be preferences
        self._after: int | None = None
        self._complete = False
        self._again = False
        self._beginning_at = float("-inf")  # until then nothing is read from the beginning while there is more
        self._owing = False  # such a reading was put off until then
        self._read_at = 0.0  # when the first of what waits to be claimed was read
        self._doubted = False  # something has changed since
        self._readings: dict[str, asyncio.Task[None]] = {}
        self._settled: set[int] = set()  # recipients that were settled while a page was being read

    @property
    def claimed(self) -> int:
        """Parcels that are in somebody's hands and have no recorded outcome."""
        return len(self._claimed)

    @property
    def unclaimed(self) -> int:
        """Parcels that were read and wait to be claimed."""
        return len(self._oldest) + len(self._newest) + len(self._suspects)

    @property
    def exhausted(self) -> bool:
        """Nothing further is due, and nothing is in anybody's hands."""
        return self._complete and not self._here and not self._readings

    def parcels(self) -> Iterable[Outgoing]:
        """What waits to be claimed, in the order in which it is."""
        yield from self._oldest.values()
        yield from self._newest.values()
        yield from self._suspects.values()

    def claim(self, fits: Fits, *, newest: bool = False, preferred: Fits | None = None) -> Outgoing | None:
        """The next parcel that ``fits``; None where there is none at this moment (then it reads on, if it can).
        ``preferred``: what is taken rather than others that come soon before it."""
        self._heed_doubts()
        parcel = self._preferred(fits, preferred, newest=newest) if preferred is not None else None
        if newest and parcel is None:
            last = reversed(self._oldest.values()) if self._complete else ()
            parcel = next(filter(fits, self._newest.values()), None) or next(filter(fits, last), None)
        if parcel is None:
            parcel = next(filter(fits, self._oldest.values()), None) or next(filter(fits, self._newest.values()), None)
        if parcel is None and not any(other.id in self._breakdowns for other in self._claimed.values()):
            fitting = filter(fits, self._suspects.values())
            parcel = min(fitting, key=lambda suspect: self._breakdowns.get(suspect.id, 0), default=None)
        if parcel is not None:
            key = _key(parcel)
            for parcels in (self._oldest, self._newest, self._suspects):
                parcels.pop(key, None)
            self._claimed[key] = parcel
        self.read_ahead(newest=newest, hungry=parcel is None)
        return parcel

    def _preferred(self, fits: Fits, preferred: Fits, *, newest: bool) -> Outgoing | None:
        """Of the next few: of the newest those that are here, a page at most; of the oldest one stretch after the
        other, so that what comes first isn't overtaken for ever."""
        if newest:
            soon: Iterable[Outgoing] = self._newest.values()
        else:
            oldest = self._oldest.values()
            if oldest and _key(next(iter(oldest))) > self._stretch_end:
                *_, last = islice(oldest, STRETCH)
                self._stretch_end = _key(last)
            soon = takewhile(lambda parcel: _key(parcel) <= self._stretch_end, oldest)
        return next((parcel for parcel in soon if preferred(parcel) and fits(parcel)), None)

    def put_back(self, parcel: Outgoing) -> None:
        """It was not tried."""
        key = _key(parcel)
        self._claimed.pop(key)
        self._sort_in(parcel)
        self._oldest = dict(sorted(self._oldest.items()))
        self._changed()

    def settle(self, parcel: Outgoing) -> None:
        """Its outcome is recorded, or it is no more."""
        self._claimed.pop(_key(parcel))
        self._forget(parcel)
        if self._readings:
            self._settled.update(recipient.id for recipient in parcel.recipients)

    def rewind(self) -> None:
        """More may be due than what was read: look again from the beginning, after what is being read."""
        start = self._start()
        stale = self._clock.monotonic() - self._read_at > STALE
        if stale:
            for parcel in list(self.parcels()):
                self._forget(parcel)
            for parcels in (self._oldest, self._newest, self._suspects):
                parcels.clear()
        self._doubted = not stale or bool(self._readings)
        if self._readings:
            self._again = True
        else:
            self._complete, self._after = False, start
            self._again = self._owing = start is not None

    def _start(self) -> int | None:
        """Where looking again begins: at the beginning, or, where it is too early for another slow reading of that, at
        the first that is here; then the beginning is looked at later."""
        if self._after is None or self._clock.monotonic() >= self._beginning_at:
            return None
        return min([self._after, *(parcel.id - 1 for parcel in self.parcels())])

    def read_ahead(self, *, newest: bool = False, hungry: bool = False) -> None:
        """Ask for the next page in the background, unless there is enough, or no more."""
        self._heed_doubts()
        if self._complete:
            return
        few = len(self._oldest) <= PAGE // 2 or (hungry and self.unclaimed < MOST)
        if few and "oldest" not in self._readings:
            self._readings["oldest"] = asyncio.create_task(self._read("oldest"))
        if newest and not self._newest and "newest" not in self._readings:
            self._readings["newest"] = asyncio.create_task(self._read("newest"))

    def _heed_doubts(self) -> None:
        """What was read shortly before something changed isn't believed for long."""
        if self._doubted and self.unclaimed and self._clock.monotonic() - self._read_at > STALE:
            self.rewind()

    async def close(self) -> None:
        """Cease reading."""
        readings = list(self._readings.values())
        for reading in readings:
            reading.cancel()
        await asyncio.gather(*readings, return_exceptions=True)

    async def _read(self, end: str) -> None:
        try:
            await (self._read_oldest() if end == "oldest" else self._read_newest())
        except Exception as error:
            events.fault("delivery", error)
            await asyncio.sleep(PAUSE)
        finally:
            del self._readings[end]
            if not self._readings:
                self._settled.clear()
            self._changed()

    async def _read_oldest(self) -> None:
        began = self._clock.monotonic()
        page = await self._queue.due(self._appliance_id, self._clock.now(), limit=PAGE, after=self._after)
        if self._after is None:
            took = (ended := self._clock.monotonic()) - began
            self._beginning_at = ended + took / SHARE if took >= SLOW else ended
        for parcel in self._new(page, began):
            self._sort_in(parcel)
        due = self._owing and self._clock.monotonic() >= self._beginning_at
        if page and not due:
            self._after = page[-1].id
        elif due or self._again:
            self._again, self._owing, self._after = False, False, None
        else:
            self._complete = True

    async def _read_newest(self) -> None:
        began = self._clock.monotonic()
        page = await self._queue.due(self._appliance_id, self._clock.now(), newest=True, limit=NEWEST_PAGE)
        for parcel in self._new(page, began):
            self._sort_in(parcel, newest=True)

    def _new(self, page: Iterable[Outgoing], began: float) -> list[Outgoing]:
        """Parcels for those recipients that aren't here yet; one may be released while another is in flight."""
        if not self.unclaimed:
            self._read_at = began
        parcels: list[Outgoing] = []
        for message in page:
            fresh = tuple(one for one in message.recipients if one.id not in self._here and one.id not in self._settled)
            if fresh:
                self._here.update(recipient.id for recipient in fresh)
                if len(fresh) < len(message.recipients):
                    message = dataclasses.replace(message, recipients=fresh)
                parcels += self._split(message)
        return parcels

    def _sort_in(self, parcel: Outgoing, *, newest: bool = False) -> None:
        suspect = self._suspects if parcel.id in self._breakdowns else None
        parcels = suspect if suspect is not None else self._newest if newest else self._oldest
        parcels[_key(parcel)] = parcel

    def _forget(self, parcel: Outgoing) -> None:
        self._here.difference_update(recipient.id for recipient in parcel.recipients)


def _key(parcel: Outgoing) -> int:
    return parcel.recipients[0].id
