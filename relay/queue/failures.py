"""Mail that has failed for good, has waited too long, or waits for long: what there is to judge, and what was decided.

Promises: recipients become bounced or expired, and the report about them comes into being, in one transaction, and
only where they still stand as they did when that was decided; so neither happens without the other, and neither twice,
whoever dies when, and whoever else decides at the same time. Decides nothing itself (relay.delivery.reports).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import partial

from relay.db import Database
from relay.errors import NotFound
from relay.queue import cases, settling
from relay.queue.cases import Case, Page
from relay.queue.content import unpack
from relay.queue.reports import Commit, NewReport
from relay.queue.settling import Settlement


class Failures:
    """The queue's. All that changes something raises Deferred where it can't be written now."""

    def __init__(self, db: Database, commit: Commit) -> None:
        self._db = db
        self._commit = commit

    # --- what there is to judge; see relay.queue.cases ---

    async def appliances(self) -> set[int]:
        return await self._db.run(cases.appliances)

    async def failed(self, appliance_id: int, now: float, *, after: int, limit: int) -> list[Case]:
        return await self._db.run(cases.failed, appliance_id, now, after, limit)

    async def overdue(self, appliance_id: int, now: float, *, after: int, limit: int) -> Page:
        return await self._db.run(cases.overdue, appliance_id, now, after, limit)

    async def late(self, appliance_id: int, before: float, *, after: int, limit: int) -> Page:
        return await self._db.run(cases.late, appliance_id, before, after, limit)

    async def unjudged(self, appliance_id: int, *, after: int, limit: int) -> Page:
        return await self._db.run(cases.unjudged, appliance_id, after, limit)

    def pieces(self, message_id: int) -> Iterator[bytes]:
        """Our Received line and the content as it came, read by the caller's thread. Raises NotFound where it is gone,
        also half way."""
        last: int | None = None
        while True:
            with self._db.read() as connection:
                found = connection.execute(cases.piece(message_id, -1 if last is None else last)).first()
            if found is None:
                break
            last = found.id
            yield unpack(found.packed, found.data)
        if last is None:
            raise NotFound(f"message {message_id} is no longer in the queue")

    # --- what was decided; see relay.queue.settling ---

    async def keep_verdicts(self, verdicts: Collection[tuple[int, str, str]]) -> None:
        """So that nobody has to ask again: (message, verdict, evidence)."""
        await self._commit(partial(settling.keep_verdicts, verdicts))

    async def ask_again(self, message_id: int, evidence: str, at: float) -> None:
        await self._commit(partial(settling.ask_again, message_id, evidence, at))

    async def settle(self, settlement: Settlement, now: float) -> bool:
        weight = len(settlement.report.content) if settlement.report else 0
        done: bool = await self._commit(partial(settling.settle, settlement, now), weight)
        return done

    async def warn(self, case: Case, report: NewReport | None, now: float) -> bool:
        done: bool = await self._commit(partial(settling.warn, case, report, now), len(report.content) if report else 0)
        return done

    async def drop_quarantined(self, before: float, now: float) -> list[tuple[int, str]]:
        """A slice; empty at the end."""
        dropped: list[tuple[int, str]] = await self._commit(partial(settling.drop_quarantined, before, now))
        return dropped
