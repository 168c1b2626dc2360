"""A node as its operator runs it: ``relayctl`` and ``relayctl serve`` as processes, on a relay.toml of their own.

The command is the one beside the Python that runs the tests. What the node says goes to a file; a block that fails
prints its end.
"""

from __future__ import annotations

import json
import smtplib
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.database import placed
from tests.support.netns import HERE, Host
from tests.support.processes import running, tail
from tests.support.waiting import wait_until

RELAYCTL = Path(sys.executable).with_name("relayctl")


class Relay:
    """relay.toml and database in ``folder``, on ``host``; ``settings`` are its tables and keys."""

    def __init__(self, folder: Path, settings: Mapping[str, Mapping[str, Any]], *, host: Host = HERE) -> None:
        self.host = host
        self._listen: str = settings["smtp"]["listen"][0]
        self._log = folder / "node.log"
        self.config = folder / "relay.toml"
        # A JSON string, number, boolean or list of them is one in TOML too.
        tables = (
            f"[{table}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
            for table, keys in placed(folder, settings).items()
        )
        self.config.write_text("\n".join(tables))
        self.tell("init")

    def tell(self, *argv: str) -> str:
        """Run a command; what it printed. RuntimeError with what it said when it refused."""
        return self.host.run(RELAYCTL, "-c", self.config, *argv)

    def ask(self, *argv: str) -> Any:
        """The same with --json, read."""
        return json.loads(self.tell("--json", *argv))

    def domain(self) -> dict[str, Any]:
        """The status of the one domain that it has."""
        status: list[dict[str, Any]] = self.ask("status")["domains"]
        (domain,) = status
        return domain

    @contextmanager
    def serving(self) -> Iterator[subprocess.Popen[bytes]]:
        """The node, from its banner until the block is left; it may be started again."""
        argv = self.host.argv(RELAYCTL, "-c", self.config, "serve")
        try:
            with running(argv, self._log) as process:
                wait_until(lambda: self._answers() or process.poll() is not None, timeout=60)
                assert process.poll() is None, "relayctl serve ended"
                yield process
        except BaseException:
            print("The end of the node's log:", self.log(), sep="\n")
            raise

    def log(self, lines: int = 60) -> str:
        """The end of what the node said."""
        return tail(self._log, lines)

    def _answers(self) -> bool:
        address, _, port = self._listen.rpartition(":")
        try:
            with self.host.inside(), smtplib.SMTP(address, int(port), timeout=10):
                return True
        except (OSError, smtplib.SMTPException):
            return False
