"""Postfix's load generators: ``smtp-sink``, which takes everything and counts, and ``smtp-source``, which sends.

Both speak to loopback alone, and every run is bounded in time.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.processes import listens, need, running, tail
from tests.support.waiting import wait_until

COUNTERS = 96
"""Bytes at the end of the sink's output that hold at least one whole ``sess=… quit=… mesg=…`` group."""


class Sink:
    """A running smtp-sink."""

    def __init__(self, output: Path, pid: int) -> None:
        self.pid = pid
        self._output = output

    def messages(self) -> int:
        """How many messages it has answered 250 so far."""
        with self._output.open("rb") as counters:
            counters.seek(max(0, self._output.stat().st_size - COUNTERS))
            groups = counters.read().split(b"\r")[:-1]
        return int(groups[-1].rpartition(b"mesg=")[2]) if groups else 0


@contextmanager
def smtp_sink(port: int, folder: Path) -> Iterator[Sink]:
    """smtp-sink on loopback, its counters in a new file of ``folder``; yields once the port answers."""
    output = folder / f"sink-{time.monotonic_ns()}"
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    argv = [need("smtp-sink", "postfix"), "-c", *user, f"127.0.0.1:{port}", "1000"]
    with running(argv, output) as process:
        wait_until(lambda: listens(port) or process.poll() is not None, every=0.001)
        assert process.poll() is None, f"smtp-sink ended: {tail(output)}"
        yield Sink(output, process.pid)


def smtp_source(
    port: int,
    messages: int,
    *,
    recipient: str,
    content: int | Path = 4096,
    sessions: int = 20,
    reuse: bool = False,
    timeout: float = 300,
) -> float:
    """Send ``messages`` and return the seconds that it took; AssertionError unless each got its 250.

    ``content``: so many bytes of filler, or a file to send. ``reuse``: keep connections; otherwise one a message.
    """
    argv = [need("smtp-source", "postfix"), "-s", str(sessions), "-m", str(messages), *(["-d"] if reuse else [])]
    argv += ["-F", str(content)] if isinstance(content, Path) else ["-l", str(content)]
    argv += ["-M", "source.example", "-f", "sender@source.example", "-t", recipient, f"127.0.0.1:{port}"]
    begun = time.monotonic()
    done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout)
    seconds = time.monotonic() - begun
    assert done.returncode == 0 and not done.stderr, f"smtp-source: {done.stderr[-2000:]}"
    return seconds
