"""python -m tests.bench.fairness: what a flood for one tenant costs another, with fair shares and without.

A quiet tenant gets a message of 4 KiB every 100 ms, each over a connection of its own; measured is the time from the
connect to the 250 that means durable. First alone, then while ``smtp-source`` floods another tenant of the same node
from many connections. Whether shares are kept is the setting [smtp] fair_shares, and the node is a new one each time.
Latencies vary with the machine and the minute: what counts is the ratio to the time alone, within the same node.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.contenders import PARENT
from tests.bench.report import run
from tests.support.processes import free_port, need, running
from tests.support.relayctl import Relay

QUIET, LOUD = "quiet.example", "loud.example"
PAUSE = 0.1
WARM_UP = 1.0
CONTENT = b"Subject: hello\r\n\r\n" + b"A line of some length, as there are in letters.\r\n" * 84 + b".\r\n"


@dataclass(frozen=True)
class Flood:
    """``sessions`` of each of ``processes``; ``size`` in bytes; ``reuse``: many messages over a connection."""

    name: str
    sessions: int
    size: int
    processes: int = 1
    reuse: bool = False


FLOODS = (
    Flood("4 KiB, 50 connections", 50, 4096),
    Flood("4 KiB, 200 connections", 50, 4096, processes=4),
    Flood("4 KiB, 50 connections reused", 50, 4096, reuse=True),
    Flood("1 MB, 50 connections", 50, 1_000_000),
    Flood("10 MB, 50 connections", 50, 10_000_000),
)


@dataclass(frozen=True)
class Figures:
    """Latencies in milliseconds, alone and during the flood; and what the flood got stored, messages a second."""

    alone: list[float]
    flooded: list[float]
    loud: float

    def ratio(self, at: int) -> float:
        return percentile(self.flooded, at) / percentile(self.alone, at)


def percentile(figures: list[float], at: int) -> float:
    return statistics.quantiles(figures, n=100, method="inclusive")[at - 1]


def letter(port: int) -> float:
    """Send one to the quiet tenant, each command waiting for its reply; milliseconds to its 250."""
    began = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), timeout=60, source_address=("127.0.0.2", 0)) as client:
        replies = client.makefile("rb")

        def expect(code: bytes) -> None:
            line = replies.readline()
            while line[3:4] == b"-":
                line = replies.readline()
            assert line.startswith(code), line

        expect(b"220")
        for command, code in (
            (b"EHLO source.example\r\n", b"250"),
            (b"MAIL FROM:<sender@source.example>\r\n", b"250"),
            (f"RCPT TO:<user@{QUIET}>\r\n".encode(), b"250"),
            (b"DATA\r\n", b"354"),
            (CONTENT, b"250"),
        ):
            client.sendall(command)
            expect(code)
        took = 1000 * (time.perf_counter() - began)
        client.sendall(b"QUIT\r\n")
        expect(b"221")
    return took


def letters(port: int, seconds: float) -> list[float]:
    """One every PAUSE, however long each takes."""
    ends, found = time.monotonic() + seconds, []
    while (now := time.monotonic()) < ends:
        found.append(letter(port))
        time.sleep(max(0.0, now + PAUSE - time.monotonic()))
    return found


@contextmanager
def node(*, fair: bool) -> Iterator[tuple[Relay, Path, int]]:
    """A node with both tenants, whose primaries are down."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="relay-bench-", dir=PARENT) as folder:
        settings: dict[str, dict[str, Any]] = {
            "node": {"hostname": "mx.relay.example", "database": "sqlite:///relay.db"},
            "smtp": {"listen": [f"127.0.0.1:{port}"], "max_connections_per_client": 1000, "fair_shares": fair},
            "metrics": {"listen": ""},
        }
        relay = Relay(Path(folder), settings)
        for domain in (QUIET, LOUD):
            relay.tell("domain", "add", domain, "--primary", f"127.0.0.1:{free_port()}", "--quota", "1TB")
        with relay.serving():
            yield relay, Path(folder), port


def measure(fair: bool, flood: Flood, seconds: float) -> Figures:
    with node(fair=fair) as (relay, folder, port), ExitStack() as stack:
        letters(port, WARM_UP)
        alone = letters(port, seconds)
        argv = [need("smtp-source", "postfix"), "-s", str(flood.sessions), "-m", "10000000", "-l", str(flood.size)]
        argv += [*(["-d"] if flood.reuse else []), "-M", "source.example", "-f", "sender@source.example"]
        for number in range(flood.processes):
            output = folder / f"flood-{number}"
            stack.enter_context(running([*argv, "-t", f"user@{LOUD}", f"127.0.0.1:{port}"], output))
        letters(port, WARM_UP)
        before, began = waiting(relay), time.monotonic()
        flooded = letters(port, seconds)
        stored = (waiting(relay) - before) / (time.monotonic() - began)
    return Figures(alone, flooded, stored)


def waiting(relay: Relay) -> int:
    """What the flood has got stored."""
    return sum(int(row["queued"]) + int(row["held"]) for row in relay.ask("status")["domains"] if row["domain"] == LOUD)


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.fairness")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement")
    parser.add_argument("--quick", action="store_true", help="one round of the first flood: does it run at all?")
    given = parser.parse_args(arguments)
    rounds, floods = (1, FLOODS[:1]) if given.quick else (given.rounds, FLOODS)
    print("\nOne tenant's message beside another's flood: milliseconds to the 250, median / 95th percentile")
    print(f"{'flood':30}{'shares':>8}{'alone':>14}{'flooded':>16}{'ratio':>14}{'flood msg/s':>13}")
    for flood in floods:
        found: dict[bool, list[Figures]] = {False: [], True: []}
        for number in range(rounds):
            for fair in (False, True) if number % 2 == 0 else (True, False):
                found[fair].append(measure(fair, flood, given.seconds))
        for fair, results in found.items():
            cells = (
                pair([percentile(one.alone, at) for one in results] for at in (50, 95)),
                pair([percentile(one.flooded, at) for one in results] for at in (50, 95)),
                pair(([one.ratio(at) for one in results] for at in (50, 95)), digits=2),
            )
            name = "yes" if fair else "no"
            loud = statistics.median(one.loud for one in results)
            print(f"{flood.name:30}{name:>8}{cells[0]:>14}{cells[1]:>16}{cells[2]:>14}{loud:>13.0f}", flush=True)


def pair(figures: Any, digits: int = 1) -> str:
    """The median over the rounds of each of two figures."""
    return " / ".join(f"{statistics.median(one):.{digits}f}" for one in figures)


if __name__ == "__main__":
    run(main)
