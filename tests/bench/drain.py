"""python -m tests.bench.drain: how fast queued mail is handed back once the primary's port opens, beside Postfix.

A contender is filled through SMTP while nothing listens at its primary, and left until it rests. Then ``smtp-sink``
opens there: at that moment Postfix is told by ``postqueue -f``; our node has to notice. Measured from the opening: when
the sink has its first message, when it has all, and when the contender says that its queue is empty, for the outcomes
have to be recorded too. That is asked only at the end, since asking takes time from those that are measured.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.bench.contenders import CONTENDERS, PARENT, RECIPIENT
from tests.bench.report import Pair, each, options, rounds, run, table
from tests.support.sink import smtp_sink, smtp_source
from tests.support.waiting import wait_until

PATIENCE = 600.0
"""Seconds after which a drain is given up."""


@dataclass(frozen=True)
class Drain:
    """Seconds from the opening of the port; ``messages`` handed over."""

    messages: int
    first: float
    all: float
    empty: float


def drain(contender: str, messages: int, folder: Path) -> Drain:
    """Fill one contender, open its primary, and watch."""
    with CONTENDERS[contender]() as backup:
        smtp_source(backup.port, messages, recipient=RECIPIENT, reuse=True, timeout=PATIENCE)
        backup.settle(messages)
        with smtp_sink(backup.primary, folder) as sink:
            backup.push()
            wait_until(lambda: sink.messages() >= 1, timeout=PATIENCE, every=0.001)
            first = time.monotonic() - sink.opened
            wait_until(lambda: sink.messages() >= messages, timeout=PATIENCE, every=0.005)
            everything = time.monotonic() - sink.opened
            wait_until(lambda: backup.waiting() == 0, timeout=60, every=0.05)
            return Drain(messages, first, everything, time.monotonic() - sink.opened)


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    given = options("drain", arguments, rounds=3, messages=20000, quick=1000)
    with tempfile.TemporaryDirectory(prefix="relay-bench-", dir=PARENT) as made:
        results = rounds(given.rounds, lambda name: drain(name, given.messages, Path(made)))
    pairs = [
        Pair("from the opening to the last", "msg/s", each(results, lambda one: one.messages / one.all)),
        Pair("from the first to the last", "msg/s", each(results, lambda one: one.messages / (one.all - one.first))),
        Pair("first message after", "s", each(results, lambda one: one.first)),
        Pair("last message after", "s", each(results, lambda one: one.all)),
        Pair("queue empty after, at most", "s", each(results, lambda one: one.empty)),
    ]
    print(table(f"Draining: {given.messages} messages of 4 KiB, rounds: {given.rounds}", pairs))


if __name__ == "__main__":
    run(main)
