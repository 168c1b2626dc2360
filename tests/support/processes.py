"""Real programs in tests: finding them, running them, stopping them.

Promises that what :func:`running` started is gone when its block is left, children included, within
``STOP_WITHIN`` seconds and a kill. Does not restart anything and keeps no registry.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

import pytest

STOP_WITHIN = 20.0
"""Seconds that a program gets to end by itself after SIGTERM."""


def need(program: str, package: str) -> str:
    """The path of ``program``. Without it a test is skipped, saying what to install; in CI (CI=true) it fails."""
    path = shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    return path or cannot(f"needs {program}, of Debian's package {package} (tests/support/install.sh)")


def need_root() -> None:
    """Skips the test (in CI: fails it) unless it runs as root."""
    if os.geteuid() != 0:
        cannot("needs root: network namespaces, mounts, port 25 and Postfix's own users")


def cannot(reason: str) -> NoReturn:
    """Skips the test, or fails it in CI (CI=true)."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@contextmanager
def running(
    argv: Sequence[str | Path], output: Path, *, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``argv`` with its standard output and error appended to the file ``output``, until the block is left.

    It leads a process group of its own, which is what is stopped: also of a program that ended by itself, whose
    children may have stayed.
    """
    with output.open("ab") as log:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, cwd=cwd, start_new_session=True
        )
    try:
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End the group of ``process``: politely, then by force."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_WITHIN)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def free_port() -> int:
    """A TCP port of loopback that nobody listened on a moment ago, for programs that can't choose one themselves.

    Outside the range that the kernel gives to outgoing connections: on such a port a client of a server that is down
    may connect to itself, and a server that comes back may find it taken.
    """
    while True:
        port = random.randrange(10000, 30000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def listens(port: int) -> bool:
    """Whether somebody answers on a port of loopback."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


def tail(path: Path, lines: int = 60) -> str:
    """The last lines of a log, for the message of a failure; empty if there is no such file."""
    if not path.exists():
        return ""
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
