"""Two PostgreSQL servers of which one follows the other, by streaming replication, and takes its place.

    with pair() as two:
        two.fresh()                        the URL of a database with both hosts in it
        two.stall()                        nothing reaches the one that follows any more
        two.fail_over()                    the one that is followed is killed, the other promoted
        two.rebuild()                      a new one follows, made from the one that is left

``synchronous``: the one that follows has whatever is committed, as soon as there is one. What failed over comes back
only as a copy of the other, so that there are never two that take writes.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.postgres import USER, PostgresCluster, place
from tests.support.waiting import wait_until


class Pair:
    """Made by :func:`pair`."""

    def __init__(self, leader: PostgresCluster, follower: PostgresCluster, *, synchronous: bool) -> None:
        self.leader = leader
        self.follower = follower
        self._synchronous = synchronous
        self._hosts = ",".join(f"{one.host.address}:{one.port}" for one in (leader, follower))

    def fresh(self) -> str:
        """The URL of a new database with this program's tables, on whichever of the two takes writes."""
        return self._url(self.leader.fresh())

    def empty(self) -> str:
        """The same without tables."""
        return self._url(self.leader.empty())

    def _url(self, url: str) -> str:
        return f"postgresql+psycopg://{USER}@{self._hosts}/{url.rpartition('/')[2]}"

    def stall(self) -> None:
        """What is committed from now on doesn't reach the one that follows, as on a network that hangs."""
        for (process,) in self.leader.execute("SELECT pid FROM pg_stat_replication"):
            os.kill(int(str(process)), signal.SIGSTOP)

    def fail_over(self) -> None:
        """Kill the one that is followed; the other takes writes when this returns."""
        self.leader.kill()
        self.promote()

    def promote(self) -> None:
        """The other takes writes when this returns, whatever the one that is followed does."""
        self.follower.run("pg_ctl", "promote", "-D", self.follower.data, "-w")
        self.leader, self.follower = self.follower, self.leader

    def rebuild(self) -> None:
        """Make the one that doesn't run a copy that follows, and wait until it has all that there is."""
        shutil.rmtree(self.follower.data, ignore_errors=True)
        source = f"host={self.leader.host.address} port={self.leader.port} user=admin"
        copy = ("pg_basebackup", "-d", source, "-D", self.follower.data, "-R", "-c", "fast", "--no-sync")
        self.follower.run(*copy)
        self.follower.start()
        wait_until(lambda: self._follows("streaming"), timeout=60)
        if self._synchronous:
            # Only now: without anybody who follows no commit would be confirmed. The copy doesn't have it.
            self.leader.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            self.leader.execute("SELECT pg_reload_conf()")
            wait_until(lambda: self._follows("streaming", "sync"), timeout=60)
        ((here,),) = self.leader.execute("SELECT pg_current_wal_lsn()")
        reached = f"SELECT flush_lsn >= '{here}' FROM pg_stat_replication"  # noqa: S608
        wait_until(lambda: self.leader.execute(reached) == [(True,)], timeout=60)

    def _follows(self, state: str, how: str | None = None) -> bool:
        rows = self.leader.execute("SELECT state, sync_state FROM pg_stat_replication")
        return len(rows) == 1 and rows[0][0] == state and how in (None, rows[0][1])


@contextmanager
def pair(*, parent: Path | None = None, synchronous: bool = True) -> Iterator[Pair]:
    """Two that run, the second a copy of the first; gone, with their folders, when the block is left."""
    with place(parent) as one, place(parent) as other:
        leader, follower = PostgresCluster(one, {}), PostgresCluster(other, {})
        two = Pair(leader, follower, synchronous=synchronous)
        try:
            leader.make()
            two.rebuild()
            yield two
        finally:
            leader.stop("immediate")
            follower.stop("immediate")
