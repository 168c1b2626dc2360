"""What shares the work in tests.bench.scale: one node or several, on SQLite or PostgreSQL, and Postfix.

Each is a backup MX for one domain of each of ``APPLIANCES`` appliances, whose primaries have ports of their own. Nodes
are started on an empty database, and the appliances entered when all of them live, so that each gets its share at once.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from relay.appliances import store
from relay.appliances.model import Primary
from relay.clock import Clock
from relay.db import Database
from relay.queue.backlog import counts
from tests.bench.contenders import PARENT, PostfixQueue
from tests.support import postfix
from tests.support.postgres import PostgresCluster
from tests.support.processes import free_port
from tests.support.relayctl import Relay
from tests.support.sink import smtp_sink
from tests.support.waiting import wait_until

APPLIANCES = 10
QUOTA = 10**12
SERVER = {
    "shared_buffers": "1GB",
    "effective_cache_size": "4GB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "15min",
    "wal_compression": "lz4",
}
"""Settings of the private PostgreSQL server, as an operator would choose them; fsync, full_page_writes and
synchronous_commit are on, as they are by default and must be."""


class Sharing(Protocol):
    """What is measured. ``ports``: its listeners; ``primaries``: where the primaries should be, and aren't;
    ``families``: the processes that head what it is made of."""

    @property
    def ports(self) -> Sequence[int]: ...
    @property
    def primaries(self) -> Sequence[int]: ...
    @property
    def families(self) -> Mapping[str, Sequence[int]]: ...

    def waiting(self) -> int:
        """How many messages it has, by its own account."""

    def settle(self, messages: int) -> None:
        """Wait until it has these queued, has found its primaries down, and rests."""

    def push(self) -> None:
        """Say that the primaries are back, where it has to be told."""


@dataclass
class Nodes:
    """``relayctl serve``, so many times, on one database."""

    relay: Relay
    db: Database
    ports: Sequence[int]
    primaries: Sequence[int]
    families: dict[str, Sequence[int]] = field(default_factory=dict)

    def waiting(self) -> int:
        with self.db.read() as connection:
            return sum(queued + held for queued, held in counts(connection).values())

    def settle(self, messages: int) -> None:
        wait_until(lambda: {row["health"] for row in self._status()} == {"down"}, timeout=120, every=0.5)
        wait_until(lambda: self.waiting() == messages, timeout=120, every=0.2)

    def push(self) -> None:
        """They look for themselves."""

    def shared_out(self) -> bool:
        """Whether every appliance has an owner, and no node many more than another."""
        owned = Counter(row["owner"] for row in self._status())
        return None not in owned and len(owned) == len(self.ports) and max(owned.values()) - min(owned.values()) <= 2

    def _status(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.relay.ask("status")["domains"]
        return found


@dataclass
class Peer(PostfixQueue):
    """One Postfix."""

    ports: Sequence[int]
    primaries: Sequence[int]
    families: Mapping[str, Sequence[int]]


def domain(appliance: int) -> str:
    return f"gold{appliance}.example"


@contextmanager
def nodes(
    count: int, server: PostgresCluster | None, *, before: Callable[[str], None] | None = None
) -> Iterator[Nodes]:
    """So many nodes on a database of their own, of ``server`` or in a file. ``before``: what is done to the database
    of this URL, with its appliances, before a node is started."""
    ports, primaries = ([free_port() for _ in range(number)] for number in (count, APPLIANCES))
    with tempfile.TemporaryDirectory(prefix="relay-bench-", dir=PARENT) as made, ExitStack() as stack:
        folder = Path(made)
        if server is not None:
            stack.enter_context(server.passing())
        url = f"sqlite:///{folder / 'relay.db'}" if server is None else server.fresh()
        # Something that always answers, or a node whose every primary is down takes itself for cut off.
        reference = free_port()
        stack.enter_context(smtp_sink(reference, folder))
        relays = [_relay(folder / f"node{number}", url, port, reference) for number, port in enumerate(ports)]
        db = Database(url, folder=folder)
        stack.callback(db.close)
        if before is not None:
            _furnish(db, primaries)
            before(url)
        processes = [stack.enter_context(relay.serving()) for relay in relays]
        wait_until(lambda: _live(relays[0]) == count, timeout=60, every=0.2)
        if before is None:
            _furnish(db, primaries)
        found = Nodes(relays[0], db, ports, primaries, {"nodes": [process.pid for process in processes]})
        if server is not None:
            found.families["PostgreSQL"] = [server.pid]
        wait_until(found.shared_out, timeout=120, every=0.5)
        yield found


def _relay(folder: Path, url: str, port: int, reference: int) -> Relay:
    folder.mkdir()
    settings: dict[str, dict[str, Any]] = {
        "node": {"name": folder.name, "hostname": "mx.gold.example", "database": url, "folder": str(folder)},
        "smtp": {"listen": [f"127.0.0.1:{port}"]},
        "watch": {"references": [f"127.0.0.1:{reference}"]},
        "metrics": {"listen": ""},
    }
    return Relay(folder, settings)


def _live(relay: Relay) -> int:
    return sum(node["state"] == "live" for node in relay.ask("node", "list"))


def _furnish(db: Database, primaries: Sequence[int]) -> None:
    now = Clock().now()
    with db.write() as connection:
        for number, port in enumerate(primaries):
            hosts = (Primary("127.0.0.1", port),)
            appliance = store.add_appliance(connection, now, name=f"appliance{number}", primaries=hosts)
            store.add_domain(connection, now, name=domain(number), appliance_id=appliance.id, quota=QUOTA)


@contextmanager
def peer() -> Iterator[Peer]:
    """A Postfix, with the settings that it comes with but for its domains and their next hops."""
    port, primaries = free_port(), [free_port() for _ in range(APPLIANCES)]
    names = [domain(number) for number in range(APPLIANCES)]
    ways = ", ".join(f"{name}=relay:[127.0.0.1]:{primary}" for name, primary in zip(names, primaries, strict=True))
    settings = {"relay_domains": " ".join(names), "transport_maps": f"inline:{{ {ways} }}"}
    with postfix.backup(names[0], ("127.0.0.1", primaries[0]), port=port, parent=PARENT, **settings) as instance:
        yield Peer(instance, [port], primaries, {"Postfix": [instance.pid]})
