"""What the benches share: their options, the alternating rounds, the table, and a clean end."""

from __future__ import annotations

import argparse
import platform
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from tests.bench.contenders import CONTENDERS
from tests.support.processes import need

T = TypeVar("T")
U = TypeVar("U")
Results = dict[str, list[T]]
"""By contender, one result a round."""


@dataclass(frozen=True)
class Pair:
    """One line of a table: what was measured, in which unit, of both contenders."""

    name: str
    unit: str
    figures: Results[float]

    @property
    def ratio(self) -> float:
        """Ours over Postfix's, the median of the rounds."""
        ours, theirs = self.figures.values()
        return statistics.median(one / other for one, other in zip(ours, theirs, strict=True))


def options(
    name: str,
    arguments: Sequence[str] | None,
    *,
    rounds: int,
    messages: int,
    quick: int,
    cases: Sequence[str] = (),
) -> argparse.Namespace:
    """The options of a bench; ``quick`` is how many messages --quick sends, in one round; ``cases``: for --only."""
    parser = argparse.ArgumentParser(prog=f"python -m tests.bench.{name}")
    parser.add_argument("--rounds", type=int, help=f"default {rounds}")
    parser.add_argument("--messages", type=int, help=f"for each measurement; default {messages}")
    parser.add_argument("--quick", action="store_true", help=f"one round of {quick} messages: does it run at all?")
    if cases:
        parser.add_argument(
            "--only", default="", metavar="TEXT", help=f"cases with this in their name: {', '.join(cases)}"
        )
    given = parser.parse_args(arguments)
    given.rounds = given.rounds or (1 if given.quick else rounds)
    given.messages = given.messages or (quick if given.quick else messages)
    return given


def rounds(count: int, measure: Callable[[str], T], contenders: Iterable[str] = CONTENDERS) -> Results[T]:
    """``measure`` each contender ``count`` times by turns, each being first as often as the other."""
    order = list(contenders)
    results: Results[T] = {name: [] for name in order}
    for _ in range(count):
        for name in order:
            results[name].append(measure(name))
        order.reverse()
    return results


def each(results: Results[T], figure: Callable[[T], U]) -> Results[U]:
    """One figure of each result."""
    return {name: [figure(result) for result in of_contender] for name, of_contender in results.items()}


def table(title: str, pairs: Sequence[Pair]) -> str:
    """Medians, with the least and the most in brackets."""
    lines = ["", title, f"{'':32}{'relay':>26}{'Postfix':>26}{'ratio':>9}"]
    for pair in pairs:
        ours, theirs = (_spread(figures, pair.unit) for figures in pair.figures.values())
        lines.append(f"{pair.name:32}{ours:>26}{theirs:>26}{pair.ratio:>9.2f}")
    return "\n".join(lines)


def _spread(figures: Sequence[float], unit: str) -> str:
    form = "{:.0f}" if unit == "msg/s" else "{:.2f}"
    median, least, most = (form.format(one) for one in (statistics.median(figures), min(figures), max(figures)))
    return f"{median} {unit} ({least}–{most})"


def versions() -> str:
    """What is measured. An interpreter that was built without profile-guided optimisation is slower by a tenth."""
    python = f"Python {platform.python_version()} ({Path(sys.executable).resolve()})"
    argv = [need("postconf", "postfix"), "-d", "-h", "mail_version"]
    return f"{python} and Postfix {subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()}"


def run(*benches: Callable[[], None]) -> None:
    """Run them so that whatever ends this process, a signal too, stops what they started."""
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    try:
        print(f"With {versions()}")
        for bench in benches:
            bench()
    except pytest.skip.Exception as missing:
        sys.exit(f"The benches can't run here: {missing}")
