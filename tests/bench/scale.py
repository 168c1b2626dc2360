"""python -m tests.bench.scale: 1, 2 and 4 nodes on one PostgreSQL, beside one node on SQLite, and Postfix.

Each takes mail for ten appliances that are down, by twenty connections a node that are spread over them, and hands it
back when all their primaries open. All of it, the database server and the load generators included, is on this one
machine: what nodes on machines of their own could do shows in the CPU time that a message costs each part, not in the
rate. Printed are, for either way, messages a second; milliseconds of CPU time a message, of nodes (or Postfix), of
PostgreSQL and of generators (or sinks); how many processors were busy, whoever with; and what PostgreSQL wrote.

By turns, in rounds: a rate varies with the machine and the minute, the ratio within a round less so, CPU time least.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.bench.accept import letter
from tests.bench.cluster import APPLIANCES, SERVER, Sharing, domain, nodes, peer
from tests.bench.consumption import CORES, OURSELVES, Meter, Usage
from tests.bench.contenders import PARENT
from tests.bench.report import Results, options, rounds, run
from tests.support.postgres import PostgresCluster
from tests.support.postgres import server as postgres
from tests.support.processes import need, stop
from tests.support.sink import Sink, smtp_sink
from tests.support.waiting import wait_until

SESSIONS = 20
"""Connections at each node."""
SIZE = 4096
PATIENCE = 600.0
WARM_UP = 10
"""Messages of each connection before it is measured."""
SINKS = "sinks"
FIRST = "SQLite, 1 node"
"""What the others' rates are compared with."""
Makes = Callable[[PostgresCluster], AbstractContextManager[Sharing]]
CONTENDERS: dict[str, Makes] = {
    FIRST: lambda server: nodes(1, None),
    "PostgreSQL, 1 node": lambda server: nodes(1, server),
    "PostgreSQL, 2 nodes": lambda server: nodes(2, server),
    "PostgreSQL, 4 nodes": lambda server: nodes(4, server),
    "Postfix": lambda server: peer(),
}


@dataclass(frozen=True)
class Written:
    """By the server, for so many messages: bytes and fsyncs of WAL, transactions."""

    wal: float
    syncs: float
    commits: float


@dataclass(frozen=True)
class Way:
    """In, or out. ``first``: seconds until the first message was there."""

    messages: int
    seconds: float
    usage: Usage
    written: Written
    first: float = 0.0

    @property
    def rate(self) -> float:
        return self.messages / (self.seconds - self.first)

    def milliseconds(self, name: str) -> float:
        """CPU time of a message."""
        return 1000 * self.usage.cpu.get(name, 0.0) / self.messages


@dataclass(frozen=True)
class Found:
    accepting: Way
    draining: Way


def measure(contender: str, messages: int, server: PostgresCluster, content: Path) -> Found:
    """One contender, started for it, in and out."""
    with CONTENDERS[contender](server) as sharing:
        there = send(sharing, WARM_UP * SESSIONS * len(sharing.ports), content)
        sharing.settle(there)
        settled(server)
        before, meter, began = _written(server), Meter(sharing.families), time.monotonic()
        sent = send(sharing, messages, content)
        seconds, usage = time.monotonic() - began, meter.read()
        accepting = Way(sent, seconds, usage, _since(server, before, sent))
        wait_until(lambda: sharing.waiting() == there + sent, timeout=60, every=0.5)
        sharing.settle(there + sent)
        return Found(accepting, drain(sharing, there + sent, server, content.parent))


def send(sharing: Sharing, messages: int, content: Path) -> int:
    """As many from each sender, about so many together; AssertionError unless each got its 250."""
    each = max(1, messages // (len(sharing.ports) * APPLIANCES))
    sessions = SESSIONS // APPLIANCES
    argv = [need("smtp-source", "postfix"), "-s", str(sessions), "-m", str(each), "-F", str(content)]
    argv += ["-M", "source.example", "-f", "sender@source.example"]
    with ExitStack() as stack:
        sources = [
            stack.enter_context(_source([*argv, "-t", f"user@{domain(number)}", f"127.0.0.1:{port}"]))
            for port in sharing.ports
            for number in range(APPLIANCES)
        ]
        for source in sources:
            _, said = source.communicate(timeout=PATIENCE)
            assert source.returncode == 0 and not said, f"smtp-source: {said[-2000:]}"
    return each * len(sources)


@contextmanager
def _source(argv: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        yield process
    finally:
        stop(process)


def drain(sharing: Sharing, messages: int, server: PostgresCluster, folder: Path) -> Way:
    """Open all the primaries; until all has come and nothing is queued any more."""
    settled(server)
    before = _written(server)
    with ExitStack() as stack:
        opened = time.monotonic()
        sinks = [stack.enter_context(smtp_sink(port, folder)) for port in sharing.primaries]
        meter = Meter({**sharing.families, SINKS: [sink.pid for sink in sinks]})
        sharing.push()
        wait_until(lambda: _arrived(sinks) >= 1, timeout=PATIENCE, every=0.005)
        first = time.monotonic() - opened
        wait_until(lambda: _arrived(sinks) >= messages, timeout=PATIENCE, every=0.05)
        wait_until(lambda: sharing.waiting() == 0, timeout=60, every=0.05)
        seconds, usage = time.monotonic() - opened, meter.read()
    return Way(messages, seconds, usage, _since(server, before, messages), first)


def _arrived(sinks: Iterable[Sink]) -> int:
    return sum(sink.messages() for sink in sinks)


def settled(server: PostgresCluster) -> None:
    """Have the server write now what it would write to its files at any moment."""
    server.execute("CHECKPOINT")


def _written(server: PostgresCluster) -> Written:
    ((wal, syncs, commits),) = server.execute(
        "SELECT wal_bytes, wal_sync, (SELECT sum(xact_commit) FROM pg_stat_database) FROM pg_stat_wal"
    )
    return Written(float(str(wal)), float(str(syncs)), float(str(commits)))


def _since(server: PostgresCluster, before: Written, messages: int) -> Written:
    """A message."""
    time.sleep(1.5)  # what a process of the server has counted it tells once a second
    now = _written(server)
    return Written(
        (now.wal - before.wal) / messages,
        (now.syncs - before.syncs) / messages,
        (now.commits - before.commits) / messages,
    )


COLUMNS = (
    ("msg/s", 22),
    ("ratio", 7),
    ("CPU ms: nodes", 15),
    ("PostgreSQL", 12),
    ("generator", 11),
    ("busy cores", 12),
    ("others", 8),
    ("WAL kB", 8),
    ("fsyncs", 8),
    ("commits", 9),
)


def show(title: str, ways: Results[Way]) -> None:
    """A line for each contender, medians; the rate with the least and the most."""
    print(f"\n{title}\n{'':22}" + "".join(f"{name:>{width}}" for name, width in COLUMNS))
    for name, found in ways.items():
        rates = [way.rate for way in found]
        ratios = [way.rate / first.rate for way, first in zip(found, ways[FIRST], strict=True)]
        cells = [
            f"{statistics.median(rates):.0f} ({min(rates):.0f}–{max(rates):.0f})",
            f"{statistics.median(ratios):.2f}",
            f"{statistics.median(way.milliseconds('nodes') + way.milliseconds('Postfix') for way in found):.2f}",
            f"{statistics.median(way.milliseconds('PostgreSQL') for way in found):.2f}",
            f"{statistics.median(way.milliseconds(OURSELVES) + way.milliseconds(SINKS) for way in found):.2f}",
            f"{statistics.median(way.usage.cores for way in found):.2f}",
            f"{statistics.median(way.usage.others / way.usage.seconds for way in found):.2f}",
        ]
        if name.startswith("PostgreSQL"):
            cells += [
                f"{statistics.median(way.written.wal / 1000 for way in found):.1f}",
                f"{statistics.median(way.written.syncs for way in found):.3f}",
                f"{statistics.median(way.written.commits for way in found):.3f}",
            ]
        widths = (width for _, width in COLUMNS)
        print(
            f"{name:22}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=False)), flush=True
        )


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    given = options("scale", arguments, rounds=3, messages=20000, quick=800, cases=list(CONTENDERS))
    chosen = [name for name in CONTENDERS if name == FIRST or given.only in name]
    with (
        postgres(parent=PARENT, **SERVER) as server,
        tempfile.TemporaryDirectory(prefix="relay-bench-", dir=PARENT) as made,
    ):
        content = letter(Path(made), SIZE)
        settings = ", ".join(f"{name} {value}" for name, value in SERVER.items())
        print(f"\nPostgreSQL {server.execute('SHOW server_version')[0][0]}: fsync on, {settings}")
        load = os.getloadavg()[0]
        print(f"{CORES} processors, load at the start {load:.1f}; {given.messages} messages of 4 KiB each time")
        measured = partial(measure, messages=given.messages, server=server, content=content)
        found = rounds(given.rounds, measured, chosen)
    show(
        "Accepting while all primaries are down",
        {name: [one.accepting for one in each] for name, each in found.items()},
    )
    show("Draining, outcomes recorded", {name: [one.draining for one in each] for name, each in found.items()})
    print("\nCPU, WAL, fsyncs and commits for a message; others: processors that were busy with none of these.")
    print(f"Where all {CORES} processors are busy, CPU is the limit; else the way to the disk and back.")


if __name__ == "__main__":
    run(main)
