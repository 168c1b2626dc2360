"""Nodes that don't keep the promise, to see that these tests would notice: ``python -m tests.faults.broken HOW serve``.

    hasty      answers 250 before the message is committed
    careless   commits without waiting for the disk: SQLite with synchronous=NORMAL
    gullible   believes the wall clock, whatever it says

What they do is done to the program from outside, in a process of their own; no setting of the relay leads there.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from cli.main import main
from relay.clock import Clock
from relay.queue.model import Incoming
from relay.queue.queue import Queue


def program(how: str) -> list[str | Path]:
    """For a node's ``program``."""
    return [sys.executable, "-m", "tests.faults.broken", how]


def _hasty() -> None:
    accept, tasks = Queue.accept, set[asyncio.Task[list[int]]]()

    async def answer_first(self: Queue, incoming: Incoming) -> list[int]:
        task = asyncio.create_task(accept(self, incoming))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return [0]

    Queue.accept = answer_first  # type: ignore[method-assign]


class _Careless(sqlite3.Connection):
    def cursor(self, *args: Any, **kwargs: Any) -> Any:
        return super().cursor(_CarelessCursor)

    def execute(self, sql: str, *args: Any) -> Any:
        return self.cursor().execute(sql, *args)


class _CarelessCursor(sqlite3.Cursor):
    def execute(self, sql: str, *args: Any) -> Any:
        # The relay reads back that it is FULL when it opens a connection, and doesn't look again.
        if sql.startswith("BEGIN"):
            super().execute("PRAGMA synchronous=NORMAL")
        return super().execute(sql, *args)


def _careless() -> None:
    connect: Any = partial(sqlite3.connect, factory=_Careless)
    sqlite3.connect = connect
    sqlite3.dbapi2.connect = connect


def _gullible() -> None:
    Clock.now = lambda self: self._wall()  # type: ignore[method-assign]


WAYS: dict[str, Callable[[], None]] = {"hasty": _hasty, "careless": _careless, "gullible": _gullible}

if __name__ == "__main__":
    WAYS[sys.argv.pop(1)]()
    main()
