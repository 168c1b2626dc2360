"""Servers that fall silent: they take whatever is sent to them, and never answer.

Keep-alive finds a machine that has gone. One whose processes hang, or whose disk does, goes on acknowledging, and
whoever waits for its answer would never learn that another server has taken its place. Promises: a statement that has
waited for ``PATIENCE`` is looked after; where its server answers nobody else either, or isn't the one any more that
takes writes, the connection is cut, and fails as if the server had gone. What takes long on a server that lives, as a
commit does that waits for its standby, may take as long as it wants.

Behind a pooler nobody sees which server a connection has got. Whoever came later than another and was answered knows
that it had its turn meanwhile; where the server that answers is at nothing of ours that has taken long, the other waits
at one that the pooler doesn't go to any more.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

import psycopg

PATIENCE = 5.0
"""Seconds for an answer before somebody asks whether the server lives."""
LOOK = 1.0

Place = tuple[str, str, int]

_AT_WORK = """
SELECT current_setting('track_activities') <> 'on' OR EXISTS (
    SELECT FROM pg_stat_activity
    WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
      AND state = 'active' AND xact_start <= clock_timestamp() - make_interval(secs => %s))
"""
"""Whether the server is at something of ours that has taken so many seconds; also where it doesn't tell."""


@dataclass(frozen=True, slots=True)
class Answer:
    """``place``: where it comes from; None: nobody answers. ``at_work``: see :data:`_AT_WORK`."""

    place: Place | None
    at_work: bool = False


class Watched(psycopg.Connection[Any]):
    """A connection that knows since when it has waited for an answer."""

    conninfo = ""
    """What it was made by."""
    place: Place = ("", "", 0)
    """Which server it goes to; it is remembered, for one that has ended doesn't know any more."""
    _since: float | None = None
    _silent = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._guard = threading.Lock()

    def wait(self, *args: Any, **kwargs: Any) -> Any:
        """As psycopg waits for whatever is on its way."""
        with self._guard:
            self._since = time.monotonic()
        try:
            return super().wait(*args, **kwargs)
        except psycopg.OperationalError as error:
            if self._silent:
                raise psycopg.OperationalError(f"it has not answered for {PATIENCE:.0f} s") from error
            raise
        finally:
            with self._guard:
                self._since = None

    @property
    def pooled(self) -> bool:
        """Whether it goes by a pooler, where statements aren't prepared (relay.postgres)."""
        return self.prepare_threshold is None

    def late(self) -> float | None:
        """Since when it has waited, where that is for too long."""
        since = self._since
        return since if since is not None and time.monotonic() - since >= PATIENCE else None

    def cut(self, since: float) -> None:
        """End the connection if it still waits for the same answer."""
        with self._guard:
            if self._since != since:
                return
            self._silent = True
            _shut(self)


class Watch:
    """Looks after connections to one database, in a thread that is there as long as they are. ``connect``: makes
    another one, which nobody watches, by the same words; it takes its own time limit."""

    def __init__(self, connect: Callable[[str], psycopg.Connection[Any]], limit: float) -> None:
        self._connect = connect
        self._limit = limit
        self._guard = threading.Lock()
        self._connections: WeakSet[Watched] = WeakSet()
        self._thread: threading.Thread | None = None

    def add(self, connection: Watched) -> None:
        connection.place = place(connection)
        with self._guard:
            self._connections.add(connection)
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, name="db-silence", daemon=True)
                self._thread.start()

    def _look(self) -> None:
        asked: dict[str, tuple[float, float]] = {}  # when an answer was last asked for, and came
        while True:
            time.sleep(LOOK)
            with self._guard:
                present = [one for one in self._connections if not one.closed]
                if not present:
                    self._thread = None
                    return
            late = [(one, since) for one in present if (since := one.late()) is not None]
            for conninfo in {one.conninfo for one, _ in late}:
                before, answered = asked.get(conninfo, (float("-inf"), float("-inf")))
                began = time.monotonic()
                if began - answered < PATIENCE:
                    continue  # whoever lived a moment ago is given time
                answer = self._ask(conninfo)
                if answer is None or answer.place is not None:
                    asked[conninfo] = began, time.monotonic()
                for one, since in late:
                    if one.conninfo == conninfo and answer is not None and _lost(one, since, answer, before):
                        one.cut(since)
            del present, late

    def _ask(self, conninfo: str) -> Answer | None:
        """What a new connection is answered; None where nobody can tell."""
        try:
            raw = self._connect(conninfo)
        except psycopg.Error as error:
            let_go(error)
            return None if "FATAL" in str(error) else Answer(None)  # whoever refuses us lives
        end = threading.Timer(self._limit, _shut, [raw])
        end.start()
        try:
            raw.prepare_threshold = None
            row = raw.execute(_AT_WORK, (PATIENCE / 2,)).fetchone()
            return Answer(place(raw), at_work=row is None or bool(row[0]))
        except psycopg.Error:
            return Answer(None)
        finally:
            end.cancel()
            end.join()
            raw.close()


def _lost(one: Watched, since: float, answer: Answer, before: float) -> bool:
    """Whether nobody is at what a connection has waited for since then. ``before``: when the answer before this one was
    asked for; what had its turn by then would be seen at work now."""
    if answer.place != one.place:
        return True
    return one.pooled and since < before and not answer.at_work


def place(connection: psycopg.Connection[Any]) -> Place:
    """Which server it goes to, of those that its words name."""
    info = connection.info
    return info.host, info.hostaddr, info.port


def let_go(error: psycopg.Error) -> None:
    """End the attempt that failed so: the error keeps it, half open, for as long as somebody keeps the error."""
    if error.pgconn is not None:
        error.pgconn.finish()


def _shut(connection: psycopg.Connection[Any]) -> None:
    """Whoever waits for something from there gets an end."""
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.pgconn.socket)) as end:
        end.shutdown(socket.SHUT_RDWR)
