"""A terminal of a given width, with relayctl on it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import structlog

from cli.main import main
from tests.integration.cli.console import Relayctl

STYLE = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Screen:
    """What came on it: ``raw`` with its styles, ``lines`` without."""

    status: int
    raw: str

    @property
    def lines(self) -> list[str]:
        return STYLE.sub("", self.raw).replace("\r\n", "\n").split("\n")


def screen(relayctl: Relayctl, *argv: str | int, columns: int = 80, env: Mapping[str, str] = {}) -> Screen:
    """Run a command in this process, with a terminal for its output."""
    master, slave = pty.openpty()
    shown: list[bytes] = []
    reader = threading.Thread(target=lambda: shown.extend(_read(master)))
    reader.start()
    log = structlog.get_config()
    with (
        os.fdopen(slave, "w", encoding="utf-8") as terminal,
        _environment(COLUMNS=str(columns), **env),
        contextlib.redirect_stdout(terminal),
        contextlib.redirect_stderr(terminal),
    ):
        status = main(["-c", str(relayctl.config), *map(str, argv)])
    structlog.configure(**log)
    reader.join()
    os.close(master)
    return Screen(status, b"".join(shown).decode())


def screen_of_a_process(relayctl: Relayctl, *argv: str | int, typed: str = "", columns: int = 80) -> Screen:
    """The same as a process of its own; ``typed``: what is typed there, from the start."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    with _environment():
        process = subprocess.Popen(relayctl.argv(*argv), stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    os.write(master, typed.encode())
    shown = b"".join(_read(master))
    os.close(master)
    return Screen(process.wait(60), shown.decode())


def _read(master: int) -> Iterator[bytes]:
    try:
        while chunk := os.read(master, 65536):
            yield chunk
    except OSError:
        return  # Linux ends a terminal that nobody has open any more with EIO


@contextlib.contextmanager
def _environment(**values: str) -> Iterator[None]:
    """A terminal's own, whatever the tests run in."""
    before = dict(os.environ)
    for name in ("COLUMNS", "NO_COLOR", "FORCE_COLOR"):
        os.environ.pop(name, None)
    os.environ.update({"TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **values})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
