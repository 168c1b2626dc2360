"""Writing for many appliances: a few in a transaction, so that accepting goes on between, and none at another's cost.

A transaction that fails is tried again for each of its items alone; what fails alone is logged, and is the caller's to
try again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from sqlalchemy import Connection

from relay import events
from relay.db import Database

T = TypeVar("T")
R = TypeVar("R")

SLICE = 10


async def write(
    db: Database, work: Callable[[Connection, Sequence[T]], Sequence[R]], items: Sequence[T]
) -> list[tuple[T, R | Exception]]:
    """Each item with its result of ``work``, or with what it failed for."""
    written: list[tuple[T, R | Exception]] = []
    for start in range(0, len(items), SLICE):
        some = items[start : start + SLICE]
        try:
            written += zip(some, await db.change(work, some), strict=True)
        except Exception:
            for item in some:
                written.append((item, await _alone(db, work, item)))
    return written


async def _alone(db: Database, work: Callable[[Connection, Sequence[T]], Sequence[R]], item: T) -> R | Exception:
    try:
        (result,) = await db.change(work, [item])
    except Exception as error:
        events.fault("continuity", error)
        return error
    return result
