"""python -m tests.bench.backlog: what a million queued messages cost a node while their primary is down, and after.

The messages are made through the real queue, then a node is started on that database. Measured are the CPU time of the
idle node beside that of one with an empty queue, over the same minute; its resident memory; ``relayctl`` as an
operator runs it; how fast mail is accepted, in rounds by turns with a new node whose queue is empty; how long after its
port opens the primary has its first message, several times. Then all of it is handed to ``smtp-sink``, and the
database's files are measured before, at their largest, and when the node has given back what it can. What stays is a
trace for each message.

Rates vary with the machine and the minute, the ratio within a round less so.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.accept import letter
from tests.bench.contenders import DOMAIN, PARENT, RECIPIENT, OurNode, our_node
from tests.bench.filler import fill
from tests.bench.report import run
from tests.support.memory import peak, resident
from tests.support.sink import smtp_sink, smtp_source
from tests.support.waiting import wait_until

MB = 1_000_000
WARM_UP = 200
PATIENCE = 3600.0
"""Seconds after which something that takes long is given up."""
QUIET = 10.0
"""Seconds for which the database's file has to stay as it is before it is measured."""
COMMANDS = (
    ("status",),
    ("doctor",),
    ("queue", "list"),
    ("queue", "list", "--domain", DOMAIN),
    ("queue", "list", "--sender", "nobody@source.example"),
    ("queue", "list", "--recipient", f"nobody@{DOMAIN}"),
    ("queue", "list", "--state", "held"),
    ("queue", "list", "--reason", "failed"),
    ("queue", "list", "--older-than", "2d"),
    ("queue", "list", "--older-than", "30d"),
    ("queue", "list", "--id", "4711"),
    ("trace", "--id", "4711"),
    ("trace", "--sender", "nobody@source.example"),
    ("trace", "--recipient", f"nobody@{DOMAIN}"),
    ("trace", "--message-id", "nobody@source.example"),
)
"""Most of these find nothing, and have to look at everything for it."""


@dataclass
class Idle:
    """``cpu``: share of one core."""

    cpu: float
    resident: int
    peak: int


@dataclass
class Drained:
    """Seconds from the opening of the port; bytes of the database and its WAL: before, at most, at the end."""

    messages: int
    seconds: float
    before: int = 0
    largest: int = 0
    after: int = 0
    gave_back: float = 0.0
    """Seconds from the last message to the last change of the file."""
    firsts: list[float] = field(default_factory=list)


def idle(nodes: Sequence[OurNode], seconds: float) -> list[Idle]:
    """What each of them takes while nothing happens, in the same seconds."""
    before = [cpu(node.pid) for node in nodes]
    began = time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - began
    return [
        Idle((cpu(node.pid) - cpu) / took, resident(node.pid), peak(node.pid))
        for node, cpu in zip(nodes, before, strict=True)
    ]


def cpu(pid: int) -> float:
    """Seconds of CPU time, of all its threads (proc_pid_stat(5))."""
    values = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(values[11]) + int(values[12])) / os.sysconf("SC_CLK_TCK")


def answers(node: OurNode, commands: Sequence[Sequence[str]], times: int) -> dict[str, list[float]]:
    """How long each command takes, as a process of its own; whether it found anything doesn't matter."""
    return {" ".join(command): [_timed(node, command) for _ in range(times)] for command in commands}


def _timed(node: OurNode, command: Sequence[str]) -> float:
    began = time.monotonic()
    try:
        node.relay.tell(*command)
    except RuntimeError:
        pass  # nothing was found, or a check failed: exit 1
    return time.monotonic() - began


def accepting(full: OurNode, rounds: int, messages: int) -> tuple[list[float], list[float]]:
    """Messages a second: of the full node, and of a new one each time."""
    ours: list[float] = []
    empties: list[float] = []
    for number in range(rounds):
        with our_node() as empty:
            empty.settle(0)
            order = (full, empty) if number % 2 == 0 else (empty, full)
            for node in order:
                smtp_source(node.port, WARM_UP, recipient=RECIPIENT)
                seconds = smtp_source(node.port, messages, recipient=RECIPIENT)
                (ours if node is full else empties).append(messages / seconds)
    return ours, empties


def first_message(node: OurNode, folder: Path) -> float:
    """Open the primary's port until it has a message; seconds. Afterwards the node has found it down again."""
    with smtp_sink(node.primary, folder) as sink:
        wait_until(lambda: sink.messages() >= 1, timeout=PATIENCE, every=0.001)
        took = time.monotonic() - sink.opened
    wait_until(lambda: node.relay.domain()["health"] == "down", timeout=60, every=0.2)
    return took


def drain(node: OurNode, database: Path, folder: Path) -> Drained:
    """All that waits, and the space that it took."""
    found = Drained(node.waiting(), 0.0, before=_files(database))
    with smtp_sink(node.primary, folder) as sink:
        while sink.messages() < found.messages:
            time.sleep(0.05)
            found.largest = max(found.largest, _files(database))
            assert time.monotonic() - sink.opened < PATIENCE, "the drain doesn't end"
        found.seconds = time.monotonic() - sink.opened
        wait_until(lambda: node.waiting() == 0, timeout=60, every=0.5)
        ended = changed = time.monotonic()
        size = _files(database)
        while time.monotonic() - changed < QUIET:
            time.sleep(0.2)
            found.largest = max(found.largest, _files(database))
            if (now := database.stat().st_size) != size:
                size, changed = now, time.monotonic()
        found.gave_back = changed - ended
    found.after = _files(database)
    return found


def _files(database: Path) -> int:
    wal = Path(f"{database}-wal")
    return database.stat().st_size + (wal.stat().st_size if wal.exists() else 0)


def line(name: str, figure: str, reach: str = "") -> None:
    print(f"{name:44}{figure:>24}  {reach}".rstrip(), flush=True)


def spread(figures: Sequence[float], form: Callable[[float], str]) -> str:
    """The median, and the least and the most."""
    return f"{form(statistics.median(figures))} ({form(min(figures))}–{form(max(figures))})"


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.backlog")
    parser.add_argument("--messages", type=int, default=1_000_000, help="that wait; default 1000000")
    parser.add_argument("--seconds", type=float, default=60.0, help="of idleness that are measured; default 60")
    parser.add_argument("--rounds", type=int, default=5, help="of accepting; default 5")
    parser.add_argument("--accept", type=int, default=5000, help="messages in each; default 5000")
    parser.add_argument("--tries", type=int, default=10, help="of opening the primary's port; default 10")
    parser.add_argument("--quick", action="store_true", help="100000 messages, one round: does it run?")
    given = parser.parse_args(arguments)
    if given.quick:
        given.messages, given.seconds, given.rounds, given.accept, given.tries = 100_000, 5.0, 1, 500, 2
    with tempfile.TemporaryDirectory(prefix="relay-bench-", dir=PARENT) as made:
        measure(given, Path(made))


def measure(given: argparse.Namespace, folder: Path) -> None:
    content = letter(folder, 4096).read_bytes().replace(b"\n", b"\r\n")
    print(f"\nA backlog: {given.messages} messages of 4 KiB, primary down")

    def before(database: Path) -> None:
        began = time.monotonic()
        fill(f"sqlite:///{database}", DOMAIN, given.messages, content)
        rate = given.messages / (time.monotonic() - began)
        line("queued", f"{rate:.0f} msg/s", f"the database: {database.stat().st_size / MB:.0f} MB")

    began = time.monotonic()
    with our_node(before=before) as node, our_node() as empty:
        node.settle(given.messages)
        # The filler knew of no outage: the node counts it all for the one that it finds. Not part of being idle.
        wait_until(lambda: _counted(node) == given.messages, timeout=PATIENCE, every=1)
        line("until it rests, from the start of filling", f"{time.monotonic() - began:.0f} s")
        time.sleep(5)
        ours, others = idle((node, empty), given.seconds)
        line(f"CPU of the node over {given.seconds:.0f} s", f"{ours.cpu:.2%}", "reach: 1 % of a core")
        line("  of one with an empty queue, beside it", f"{others.cpu:.2%}")
        line("resident", f"{ours.resident / MB:.0f} MB", f"reach: 250 MB; at its peak {ours.peak / MB:.0f} MB")
        line("  of one with an empty queue", f"{others.resident / MB:.0f} MB", f"at its peak {others.peak / MB:.0f} MB")
        show(answers(node, COMMANDS, 3))
        full, empties = accepting(node, given.rounds, given.accept)
        ratio = statistics.median(one / other for one, other in zip(full, empties, strict=True))
        line("accepting", f"{spread(full, '{:.0f}'.format)} msg/s")
        line("  with an empty queue", f"{spread(empties, '{:.0f}'.format)} msg/s")
        line("  ratio", f"{ratio:.2f}", "reach: 0.9")
        firsts = [first_message(node, folder) for _ in range(given.tries)]
        percentile = statistics.quantiles(firsts, n=100, method="inclusive")[94] if len(firsts) > 1 else firsts[0]
        line("first message after the port opens", f"{spread(firsts, '{:.2f}'.format)} s")
        line("  95th percentile", f"{percentile:.2f} s", "reach: 3 s")
        drained = drain(node, node.database, folder)
        rate = drained.messages / drained.seconds
        line("drained", f"{drained.messages} in {drained.seconds:.0f} s", f"{rate:.0f} msg/s")
        line("database and WAL before the drain", f"{drained.before / MB:.0f} MB")
        line("  at their largest", f"{drained.largest / MB:.0f} MB")
        wal = (drained.after - node.database.stat().st_size) / MB
        line(
            "  given back",
            f"{drained.after / MB:.0f} MB",
            f"{drained.gave_back:.0f} s after the last message; {wal:.0f} MB of it are the WAL",
        )
        line("resident at its peak", f"{peak(node.pid) / MB:.0f} MB")
        print("with a trace of each:")
        show(answers(node, COMMANDS, 3))


def _counted(node: OurNode) -> int:
    """Recipients that are counted for the outage."""
    return sum(int(row["queued"]) for row in node.relay.ask("ledger", "--outage", "1"))


def show(times: dict[str, list[float]]) -> None:
    for command, seconds in times.items():
        line(f"relayctl {command}"[:44], f"{spread(seconds, '{:.2f}'.format)} s", "reach: 1 s" * (command == "status"))


if __name__ == "__main__":
    run(main)
