"""Who used the processors: each family of processes, and the machine as a whole, from /proc.

A family is a process with all that came from it, those that have ended included (proc_pid_stat(5): what a process has
waited for). Seconds of CPU time are the figure that a busy machine spoils least.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
CORES = os.cpu_count() or 1
OURSELVES = "bench"
"""The name of whatever this process has run and seen end: load generators, above all."""


@dataclass(frozen=True)
class Usage:
    """``cpu``: seconds of each family; ``busy`` and ``waiting``: of all processors together, waiting for the disk."""

    seconds: float
    cpu: Mapping[str, float]
    busy: float
    waiting: float

    @property
    def cores(self) -> float:
        """How many processors were busy on average, whoever they worked for."""
        return self.busy / self.seconds

    @property
    def others(self) -> float:
        """Seconds that went to nobody who was asked for."""
        return max(0.0, self.busy - sum(self.cpu.values()))


class Meter:
    """From its making until :meth:`read`. ``families``: by name the processes that head them."""

    def __init__(self, families: Mapping[str, Iterable[int]]) -> None:
        self._families = {name: list(heads) for name, heads in families.items()}
        self._began = time.monotonic()
        self._before = self._now()
        self._machine = _machine()

    def read(self) -> Usage:
        after, (busy, waiting) = self._now(), _machine()
        return Usage(
            time.monotonic() - self._began,
            {name: after[name] - before for name, before in self._before.items()},
            busy - self._machine[0],
            waiting - self._machine[1],
        )

    def _now(self) -> dict[str, float]:
        children = _children()
        spent = {name: sum(family(head, children) for head in heads) for name, heads in self._families.items()}
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        own = os.times()
        return {**spent, OURSELVES: ended.ru_utime + ended.ru_stime + own.user + own.system}


def family(head: int, children: Mapping[int, list[int]] | None = None) -> float:
    """Seconds of CPU time."""
    children = _children() if children is None else children
    try:
        values = Path(f"/proc/{head}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0
    return sum(map(int, values[11:15])) / _TICK + sum(family(child, children) for child in children.get(head, ()))


def _children() -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        found.setdefault(parent, []).append(int(path.parent.name))
    return found


def _machine() -> tuple[float, float]:
    """Seconds that all processors were busy, and idle for the disk's sake, since the start (proc_stat(5))."""
    user, nice, system, _, waiting, *rest = (
        int(value) / _TICK for value in Path("/proc/stat").read_text().partition("\n")[0].split()[1:]
    )
    return user + nice + system + sum(rest[:2]), waiting
