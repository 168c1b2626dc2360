"""python -m tests.bench.drain: how fast queued mail is handed back once the primary's port opens, beside Postfix.

Over loopback, across a line with a round trip of 50 ms, and with a mix of large messages; by as many connections as
each has by default, which is 20 for both. A contender is filled through SMTP while nothing listens at its primary, and
left until it rests. Then ``smtp-sink`` opens there: at that moment Postfix is told by ``postqueue -f``; our node has to
notice. Measured from the opening: when the sink has its first message, when it has all, and when the contender says
that its queue is empty, for the outcomes have to be recorded too. That is asked only at the end, since asking takes
time from those that are measured.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.bench.accept import letter
from tests.bench.contenders import CONTENDERS, PARENT, RECIPIENT
from tests.bench.distance import distance
from tests.bench.report import Pair, each, options, rounds, run, table
from tests.support.processes import free_port
from tests.support.sink import Sink, smtp_sink, smtp_source
from tests.support.waiting import wait_until

PATIENCE = 600.0
"""Seconds after which a drain is given up."""


@dataclass(frozen=True)
class Case:
    """``sizes``: bytes, each of as many messages as its share of them; ``delay``: seconds to the primary, one way."""

    name: str
    sizes: tuple[tuple[int, float], ...] = ((4096, 1.0),)
    share: float = 1.0
    """Of the messages that are asked for: what takes longer is measured with fewer."""
    delay: float = 0.0


CASES = (
    Case("4 KiB"),
    Case("4 KiB across 50 ms of round trip", share=0.2, delay=0.025),
    Case("500 KiB on average", ((100 * 1024, 0.5), (500 * 1024, 0.3), (1480 * 1024, 0.2)), share=0.1),
)


@dataclass(frozen=True)
class Drain:
    """Seconds from the opening of the port; ``messages`` handed over."""

    messages: int
    first: float
    all: float
    empty: float


def drain(contender: str, case: Case, messages: int, folder: Path) -> Drain:
    """Fill one contender, open its primary, and watch."""
    with CONTENDERS[contender]() as backup:
        for size, share in case.sizes:
            content = size if size <= 4096 else letter(folder, size)
            count = round(messages * share)
            smtp_source(backup.port, count, recipient=RECIPIENT, content=content, reuse=True, timeout=PATIENCE)
        backup.settle(messages)
        with primary(backup.primary, case.delay, folder) as sink:
            opened = time.monotonic()
            backup.push()
            wait_until(lambda: sink.messages() >= 1, timeout=PATIENCE, every=0.001)
            first = time.monotonic() - opened
            wait_until(lambda: sink.messages() >= messages, timeout=PATIENCE, every=0.005)
            everything = time.monotonic() - opened
            wait_until(lambda: backup.waiting() == 0, timeout=60, every=0.05)
            return Drain(messages, first, everything, time.monotonic() - opened)


@contextmanager
def primary(port: int, delay: float, folder: Path) -> Iterator[Sink]:
    """A sink that is ``delay`` seconds away."""
    if not delay:
        with smtp_sink(port, folder) as sink:
            yield sink
        return
    behind = free_port()
    with smtp_sink(behind, folder) as sink, distance(port, behind, delay, folder / f"distance-{port}"):
        yield sink


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    names = [case.name for case in CASES]
    given = options("drain", arguments, rounds=3, messages=20000, quick=1000, cases=names)
    for case in CASES:
        if given.only not in case.name:
            continue
        messages = round(given.messages * case.share)
        with tempfile.TemporaryDirectory(prefix="relay-bench-", dir=PARENT) as made:
            measure = partial(drain, case=case, messages=messages, folder=Path(made))
            results = rounds(given.rounds, measure)
        pairs = [
            Pair("from the opening to the last", "msg/s", each(results, lambda one: one.messages / one.all)),
            Pair(
                "from the first to the last", "msg/s", each(results, lambda one: one.messages / (one.all - one.first))
            ),
            Pair("first message after", "s", each(results, lambda one: one.first)),
            Pair("last message after", "s", each(results, lambda one: one.all)),
            Pair("queue empty after, at most", "s", each(results, lambda one: one.empty)),
        ]
        print(table(f"Draining: {messages} messages, {case.name}; rounds: {given.rounds}", pairs), flush=True)


if __name__ == "__main__":
    run(main)
