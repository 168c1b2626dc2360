"""The two that are compared: our node and Postfix, each a backup MX for one domain, each as it is run for real.

Both are started for one measurement and stopped after it, so that neither works on its backlog while the other is
measured. Both keep their queue in a new folder of the same file system, both with the settings that they come with,
but for what a backup MX must be told: its domain, its port and its primary.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tests.support import postfix
from tests.support.certificates import Certificate
from tests.support.processes import free_port
from tests.support.relayctl import Relay
from tests.support.waiting import wait_until

DOMAIN = "gold.example"
RECIPIENT = f"user@{DOMAIN}"
PARENT = Path("/var/tmp")
"""Where queues go: a disk on any system, where /tmp may be memory, on which nothing has to be durable."""


class Contender(Protocol):
    """A backup MX that is running. ``port``: its own; ``primary``: where its primary should be, and isn't."""

    port: int
    primary: int

    def waiting(self) -> int:
        """How many messages it has, by its own account."""

    def settle(self, messages: int) -> None:
        """Wait until it has these queued, has found its primary down, and rests."""

    def push(self) -> None:
        """Say that the primary is back, where it has to be told."""


@dataclass
class OurNode:
    """``relayctl serve`` on a new SQLite database."""

    relay: Relay
    port: int
    primary: int
    pid: int
    database: Path

    def waiting(self) -> int:
        domain = self.relay.domain()
        return int(domain["queued"]) + int(domain["held"])

    def settle(self, messages: int) -> None:
        wait_until(lambda: self.relay.domain()["health"] == "down", timeout=120, every=0.5)
        wait_until(lambda: self.relay.domain()["queued"] == messages, timeout=120, every=0.5)

    def push(self) -> None:
        """It looks for itself."""


@dataclass
class PostfixQueue:
    """What a Postfix says of its queue, and is told."""

    postfix: postfix.Postfix

    def waiting(self) -> int:
        return len(self.postfix.queued())

    def settle(self, messages: int) -> None:
        wait_until(lambda: self._deferred() == messages, timeout=300, every=1)

    def push(self) -> None:
        self.postfix.flush()

    def _deferred(self) -> int:
        return sum(message["queue_name"] == "deferred" for message in self.postfix.queued())


@dataclass
class Peer(PostfixQueue):
    """Postfix with relay_domains and a transport to the primary."""

    port: int
    primary: int


@contextmanager
def our_node(
    tls: Certificate | None = None, *, before: Callable[[Path], None] = lambda database: None
) -> Iterator[OurNode]:
    """A node, in a folder that is removed afterwards. ``tls``: what it offers STARTTLS with; ``before``: what is done
    to its database before it is started."""
    port, primary = free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="relay-bench-", dir=PARENT) as folder:
        settings: dict[str, dict[str, Any]] = {
            "node": {"hostname": f"mx.{DOMAIN}", "database": "sqlite:///relay.db"},
            "smtp": {"listen": [f"127.0.0.1:{port}"]},
            "metrics": {"listen": ""},
        }
        if tls is not None:
            settings["smtp"] |= {"tls_certificate": str(tls.certificate), "tls_key": str(tls.key)}
        relay = Relay(Path(folder), settings)
        relay.tell("domain", "add", DOMAIN, "--primary", f"127.0.0.1:{primary}", "--quota", "1TB")
        database = Path(folder) / "relay.db"
        before(database)
        with relay.serving() as process:
            yield OurNode(relay, port, primary, process.pid, database)


@contextmanager
def peer(tls: Certificate | None = None) -> Iterator[Peer]:
    """A Postfix, the same way."""
    port, primary = free_port(), free_port()
    settings = {}
    if tls is not None:
        files = {"smtpd_tls_cert_file": str(tls.certificate), "smtpd_tls_key_file": str(tls.key)}
        settings = {"smtpd_tls_security_level": "may", **files}
    with postfix.backup(DOMAIN, ("127.0.0.1", primary), port=port, parent=PARENT, **settings) as instance:
        yield Peer(instance, port, primary)


CONTENDERS: dict[str, Callable[..., AbstractContextManager[Contender]]] = {"relay": our_node, "Postfix": peer}
