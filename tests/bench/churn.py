"""python -m tests.bench.churn: PostgreSQL's tables of mail under churn, beside a long backlog and an open transaction.

One node; behind one appliance, which stays down, so many messages wait. Mail for another goes through, round after
round: a batch that is handed on while it comes, and one that waits for the primary to open. First as it is, then while
a transaction that has read something lies idle, so that no row that has gone can be removed. Printed are, for each
round, rates and CPU time a message, of the node and of PostgreSQL; dead rows; the sizes of tables; what autovacuum did.

A rate varies with the machine and the minute; CPU time a message says what an open transaction costs.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psycopg

from tests.bench.accept import letter
from tests.bench.backlog import MB, line
from tests.bench.cluster import SERVER, Nodes, domain, nodes
from tests.bench.consumption import Meter
from tests.bench.contenders import PARENT
from tests.bench.filler import fill
from tests.bench.report import run
from tests.support.postgres import PostgresCluster
from tests.support.postgres import server as postgres
from tests.support.sink import smtp_sink, smtp_source
from tests.support.waiting import wait_until

TABLES = ("content", "messages", "recipients", "trace", "ledger", "depths", "arrivals")
LONG, BUSY = 0, 1
"""The appliance whose mail waits, and the one whose mail goes through."""
PATIENCE = 1800.0
COUNTED = "SELECT sum(queued)::bigint FROM ledger WHERE outage_id <> 0"
SIZES = """
SELECT relname, n_live_tup, n_dead_tup, autovacuum_count, pg_total_relation_size(relid), pg_indexes_size(relid)
FROM pg_stat_user_tables ORDER BY relname
"""


@dataclass(frozen=True)
class Flow:
    """Messages a second; milliseconds of CPU time of a message."""

    rate: float
    node: float
    server: float


@dataclass(frozen=True)
class Round:
    through: Flow
    drain: Flow


class Bench:
    """``messages`` of each batch."""

    def __init__(self, sharing: Nodes, content: Path, messages: int) -> None:
        self._sharing = sharing
        self._content = content
        self._messages = messages
        self._primary = sharing.primaries[BUSY]
        self._waiting = sharing.waiting()

    def round(self) -> Round:
        with smtp_sink(self._primary, self._content.parent) as sink:
            self._until("up")
            meter, began = Meter(self._sharing.families), time.monotonic()
            self._send()
            wait_until(lambda: sink.messages() >= self._messages, timeout=PATIENCE)
            through = self._flow(meter, began)
        self._until("down")
        self._send()
        wait_until(lambda: self._sharing.waiting() == self._waiting + self._messages, timeout=60, every=0.2)
        with smtp_sink(self._primary, self._content.parent) as sink:
            wait_until(lambda: sink.messages() >= 1, timeout=PATIENCE, every=0.005)
            meter, began = Meter(self._sharing.families), time.monotonic()
            wait_until(lambda: sink.messages() >= self._messages, timeout=PATIENCE)
            return Round(through, self._flow(meter, began))

    def _send(self) -> None:
        port, to = self._sharing.ports[0], f"user@{domain(BUSY)}"
        smtp_source(port, self._messages, recipient=to, content=self._content, reuse=True, timeout=PATIENCE)

    def _flow(self, meter: Meter, began: float) -> Flow:
        """Once its outcomes are recorded."""
        wait_until(lambda: self._sharing.waiting() == self._waiting, timeout=120, every=0.05)
        rate, cpu = self._messages / (time.monotonic() - began), meter.read().cpu
        return Flow(rate, 1000 * cpu["nodes"] / self._messages, 1000 * cpu["PostgreSQL"] / self._messages)

    def _until(self, health: str) -> None:
        def found() -> bool:
            status = self._sharing.relay.ask("status", domain(BUSY))["domains"][0]
            return bool(status["health"] == health)

        wait_until(found, timeout=120, every=0.3)


def measure(waiting: int, given: argparse.Namespace, server: PostgresCluster, content: Path) -> None:
    print(f"\n{waiting} messages of 4 KiB wait behind an appliance that is down", flush=True)
    with ExitStack() as stack:
        letters = content.read_bytes().replace(b"\n", b"\r\n")
        sharing = stack.enter_context(nodes(1, server, before=lambda url: _fill(url, waiting, letters)))
        name = sharing.db.url.rpartition("/")[2]
        sharing.settle(waiting)
        # The filler knew of no outage: the node counts it all for the one that it finds. Not part of the churn.
        wait_until(lambda: server.execute(COUNTED, name) == [(waiting,)], timeout=PATIENCE, every=1)
        bench = Bench(sharing, content, given.messages)
        bench.round()  # to be warm
        tell_tables(server, name)
        without = [_told(bench, "no transaction open") for _ in range(given.rounds)]
        idle = stack.enter_context(psycopg.connect(sharing.db.url.replace("+psycopg", "")))
        idle.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ  # as pg_dump's; else it would keep nothing
        idle.execute("SELECT count(*) FROM domains")
        began = time.monotonic()
        beside: list[Round] = []
        while time.monotonic() - began < 60 * given.minutes or not beside:
            beside.append(_told(bench, f"open for {time.monotonic() - began:.0f} s"))
        tell_tables(server, name)
        last = beside[-given.rounds :]
        for what in ("through", "drain"):
            compare(what, [getattr(one, what) for one in without], [getattr(one, what) for one in last])
        idle.rollback()
        server.execute("VACUUM", name)
        _told(bench, "closed, after a vacuum")


def _fill(url: str, waiting: int, letters: bytes) -> None:
    began = time.monotonic()
    fill(url, domain(LONG), waiting, letters)
    line("queued", f"{waiting / (time.monotonic() - began):.0f} msg/s")


def _told(bench: Bench, when: str) -> Round:
    found = bench.round()
    flows = (
        f"{name} {flow.rate:.0f} msg/s, {flow.node:.2f} + {flow.server:.2f} ms"
        for name, flow in (("through", found.through), ("drain", found.drain))
    )
    print(f"{when:28}{'; '.join(flows)}; load {os.getloadavg()[0]:.0f}", flush=True)
    return found


def compare(what: str, without: Sequence[Flow], beside: Sequence[Flow]) -> None:
    """The last rounds beside the open transaction with those before it; medians."""

    def cost(flows: Sequence[Flow]) -> float:
        return statistics.median(flow.node + flow.server for flow in flows)

    rates = [statistics.median(flow.rate for flow in flows) for flows in (without, beside)]
    line(
        f"{what}: rate, CPU of a message beside it",
        f"× {rates[1] / rates[0]:.2f}, × {cost(beside) / cost(without):.2f}",
    )


def tell_tables(server: PostgresCluster, name: str) -> None:
    """How large each is, and what is dead in it."""
    for table, live, dead, vacuums, size, indexes in server.execute(SIZES, name):
        if table not in TABLES:
            continue
        print(
            f"  {table!s:12}{live:>10} rows{dead:>9} dead{int(str(size)) / MB:>9.0f} MB, indexes"
            f"{int(str(indexes)) / MB:>6.0f} MB, vacuumed {vacuums} times",
            flush=True,
        )


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.churn")
    parser.add_argument("--waiting", type=int, nargs="+", default=[100_000, 1_000_000], help="default 100000 1000000")
    parser.add_argument("--messages", type=int, default=10_000, help="of each batch; default 10000")
    parser.add_argument("--rounds", type=int, default=3, help="without a transaction; default 3")
    parser.add_argument("--minutes", type=float, default=10.0, help="that it is open; default 10")
    parser.add_argument("--quick", action="store_true", help="5000 waiting, one round each: does it run?")
    given = parser.parse_args(arguments)
    if given.quick:
        given.waiting, given.messages, given.rounds, given.minutes = [5000], 1000, 1, 0.0
    with (
        postgres(parent=PARENT, **SERVER) as server,
        tempfile.TemporaryDirectory(prefix="relay-bench-", dir=PARENT) as made,
    ):
        content = letter(Path(made), 4096)
        for waiting in given.waiting:
            measure(waiting, given, server, content)


if __name__ == "__main__":
    run(main)
