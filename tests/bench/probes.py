"""python -m tests.bench.probes: what it costs one node to watch 10,000 domains behind 3,000 appliances.

Every primary is a listener on an address of its own, every domain has its MX set at a name server, both in a process
beside the node. Measured are the node's CPU time and resident memory: over the first minutes, in which everything is
proven for the first time; then when it rests; then while the primaries of one appliance in twenty are gone, which are
probed every two seconds, proven again and have tickets opened; and what ``relayctl status`` takes.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from relay.appliances import store
from relay.appliances.model import Primary
from relay.clock import Clock
from relay.db import Database
from tests.bench.backlog import MB, cpu, line
from tests.bench.contenders import PARENT
from tests.bench.region import domain, primary
from tests.bench.report import run
from tests.support.memory import peak, resident
from tests.support.processes import free_port, stop
from tests.support.relayctl import Relay
from tests.support.waiting import wait_until

MX = "mx.gold.example"
START_WITHIN = 900.0
"""Seconds within which everything has to be proven once."""


class Region:
    """The primaries and the name server, as a process."""

    def __init__(self, process: subprocess.Popen[str], port: int, dns: int) -> None:
        self.port = port
        self.dns = dns
        self._process = process

    def ask(self, command: str) -> str:
        assert self._process.stdin is not None and self._process.stdout is not None
        print(command, file=self._process.stdin, flush=True)
        return self._process.stdout.readline().strip()


@contextmanager
def region(appliances: int) -> Iterator[Region]:
    port, names = free_port(), free_port()
    given = {"--appliances": appliances, "--port": port, "--dns": names, "--mx": MX}
    argv = [sys.executable, "-m", "tests.bench.region", *(str(word) for pair in given.items() for word in pair)]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stdout is not None and process.stdout.readline() == "ready\n", "the region doesn't start"
        yield Region(process, port, names)
    finally:
        stop(process)


def furnish(database: Path, domains: int, appliances: int, port: int) -> None:
    """Appliances, and their domains spread over them, in one transaction."""
    db, now = Database(f"sqlite:///{database}"), Clock().now()
    with db.write() as connection:
        for number in range(appliances):
            hosts = (Primary(primary(number), port),)
            appliance = store.add_appliance(connection, now, name=f"appliance{number}", primaries=hosts)
            for place in range(number, domains, appliances):
                name = domain(number, place // appliances)
                store.add_domain(connection, now, name=name, appliance_id=appliance.id)
    db.close()


@dataclass(frozen=True)
class Cost:
    """Over so many seconds: CPU as a share of one core, probes a second."""

    seconds: float
    cpu: float
    probes: float


def cost(pid: int, around: Region, seconds: float) -> Cost:
    before, probes, began = cpu(pid), int(around.ask("count")), time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - began
    return Cost(took, (cpu(pid) - before) / took, (int(around.ask("count")) - probes) / took)


def measure(given: argparse.Namespace, folder: Path) -> None:
    print(f"\n{given.domains} domains behind {given.appliances} appliances, one node", flush=True)
    with region(given.appliances) as around:
        settings = {
            "node": {"hostname": MX, "mx_names": [MX], "mx_addresses": ["127.0.0.1"], "database": "sqlite:///relay.db"},
            "smtp": {"listen": [f"127.0.0.1:{free_port()}"]},
            "metrics": {"listen": ""},
            "dns": {"resolvers": [f"127.0.0.1:{around.dns}"]},
        }
        relay = Relay(folder, settings)
        furnish(folder / "relay.db", given.domains, given.appliances, around.port)
        began = time.monotonic()
        with relay.serving() as node:
            line("until it takes mail", f"{time.monotonic() - began:.1f} s")
            wait_until(lambda: _all(relay, "up"), timeout=START_WITHIN, every=2)
            line("until all are known to be up", f"{time.monotonic() - began:.0f} s")
            wait_until(lambda: _proven(relay), timeout=START_WITHIN, every=2)
            took = time.monotonic() - began
            line("until all are proven for the first time", f"{took:.0f} s", f"{cpu(node.pid) / took:.0%} of a core")
            time.sleep(30)
            show("at rest", cost(node.pid, around, given.seconds), node.pid)
            gone = given.appliances // 20
            around.ask(f"down {gone}")
            began = time.monotonic()
            wait_until(lambda: _all(relay, "down", gone), timeout=START_WITHIN, every=0.5)
            line(f"{gone} primaries are gone: found down after", f"{time.monotonic() - began:.1f} s")
            show("meanwhile", cost(node.pid, around, given.seconds), node.pid)
            tickets = len(relay.ask("ticket", "list"))
            line("  tickets that are open", f"{tickets}")
            began = time.monotonic()
            relay.tell("status")
            line("relayctl status", f"{time.monotonic() - began:.2f} s")


def _all(relay: Relay, health: str, appliances: int | None = None) -> bool:
    """Whether every appliance, or so many of them, has this health."""
    domains = relay.ask("status")["domains"]
    found = {row["appliance"] for row in domains if row["health"] == health}
    return len(found) >= (appliances or len({row["appliance"] for row in domains}))


def _proven(relay: Relay) -> bool:
    return all(row["ready"] for row in relay.ask("status")["domains"])


def show(when: str, found: Cost, pid: int) -> None:
    line(f"{when}: CPU over {found.seconds:.0f} s", f"{found.cpu:.0%}", f"{found.probes:.0f} probes a second")
    line("  resident", f"{resident(pid) / MB:.0f} MB", f"at its peak {peak(pid) / MB:.0f} MB")


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.probes")
    parser.add_argument("--domains", type=int, default=10_000)
    parser.add_argument("--appliances", type=int, default=3_000)
    parser.add_argument("--seconds", type=float, default=120.0, help="of each measurement; default 120")
    parser.add_argument("--quick", action="store_true", help="200 domains, seconds: does it run?")
    given = parser.parse_args(arguments)
    if given.quick:
        given.domains, given.appliances, given.seconds = 200, 60, 5.0
    with tempfile.TemporaryDirectory(prefix="relay-bench-", dir=PARENT) as folder:
        measure(given, Path(folder))


if __name__ == "__main__":
    run(main)
