"""A node as it is run for real, ``relayctl serve``, that can be killed, stopped and started again at any moment.

With the settings that it comes with, but for what any node must be told; and that nobody is asked in the DNS.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support.netns import HERE, Host
from tests.support.processes import free_port, tail
from tests.support.relayctl import RELAYCTL, Relay

HOSTNAME = "mx2.relay.example"
START_WITHIN = 60.0
STOP_WITHIN = 60.0
_ORDINARY = re.compile(r'"event": "(?:accepted|delivered)"')
ROOT = Path(__file__).parents[2]


class Node:
    """Its files are in ``folder``, its mail in ``database``, a URL. ``program``: what is run instead of relayctl;
    ``env``: variables besides those of this process; ``host``: where it runs."""

    def __init__(
        self,
        folder: Path,
        database: str,
        *,
        name: str = "one",
        settings: Mapping[str, Mapping[str, Any]] = {},
        program: Sequence[str | Path] = (RELAYCTL,),
        env: Mapping[str, str] = {},
        host: Host = HERE,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.address = (host.address, free_port())
        usual: dict[str, dict[str, Any]] = {
            "node": {
                "name": name,
                "hostname": HOSTNAME,
                "postmaster": "keeper@world.example",
                "mx_names": [HOSTNAME],
                "database": database,
                "folder": str(folder / "own"),
            },
            "smtp": {"listen": [f"{self.address[0]}:{self.address[1]}"]},
            "limits": {"database_capacity": "100GB"},
            "dns": {"resolvers": ["127.0.0.1:9"], "timeout": 2.0},
            "metrics": {"listen": ""},
        }
        tables = {table: {**usual.get(table, {}), **settings.get(table, {})} for table in {*usual, *settings}}
        self.relay = Relay(folder, tables, host=host)
        self._log = folder / "serve.log"
        self._argv = host.argv(*program, "-c", self.relay.config, "serve")
        self._env = {**os.environ, **env}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Begin, without waiting for anything."""
        assert not self.runs
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._env, cwd=ROOT
            )

    async def ready(self) -> None:
        """Wait for its banner."""
        async with asyncio.timeout(START_WITHIN):
            while not await self._greets():
                assert self.runs, f"the node has ended:\n{self.log()}"
                await asyncio.sleep(0.02)

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def ended(self) -> int:
        """Wait for the end of the process; its exit code."""
        assert self._process is not None
        return await asyncio.to_thread(self._process.wait, STOP_WITHIN)

    async def freeze(self) -> None:
        """From when this returns on it says nothing to anybody; a system call that is under way may go on."""
        self.signal(signal.SIGSTOP)
        tasks = Path(f"/proc/{self.pid}/task")
        async with asyncio.timeout(STOP_WITHIN):
            while not all(_state(task) in "TD" for task in tasks.iterdir()):
                await asyncio.sleep(0.001)

    async def kill(self) -> None:
        """kill -9, and nothing is left of it when this returns."""
        if self.runs:
            self.signal(signal.SIGKILL)
            await self.ended()

    def log(self, lines: int = 40) -> str:
        """The end of what it said, but for each letter's way."""
        told = [line for line in tail(self._log, 100_000).splitlines() if not _ORDINARY.search(line)]
        return "\n".join(told[-lines:])

    async def _greets(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection(*self.address)
        except OSError:
            return False
        try:
            async with asyncio.timeout(10):
                return (await reader.readline()).startswith(b"220 ")
        except (OSError, TimeoutError):
            return False
        finally:
            writer.close()


def _state(task: Path) -> str:
    """One letter, as proc_pid_stat(5) has it: T for stopped, D for waiting for a disk. What has ended meanwhile
    says nothing either."""
    try:
        return (task / "stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "T"
