"""A real edge for tests: listeners on loopback, a real database, a real queue; and a client that says what it is told.

async with house(tmp_path) as relay:
    async with relay.client() as client:
        await client.send("EHLO there")
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relay.appliances import store
from relay.appliances.directory import Directory
from relay.appliances.facts import HealthFact, set_health
from relay.appliances.model import Domain, Primary
from relay.appliances.mx import Endpoints
from relay.appliances.pulse import Pulse
from relay.clock import Clock
from relay.cluster.lease import POSTMASTER
from relay.cluster.secret import secret
from relay.db import Database
from relay.dns import Resolver
from relay.edge.etrn import Etrn
from relay.edge.server import Edge
from relay.edge.tally import Tally
from relay.queue.queue import Queue
from relay.recipients import lists
from relay.recipients.known import Recipients
from relay.settings import Dns, Limits, Metrics, Node, Settings, Smtp
from tests.support.database import make_database

HOSTNAME = "relay.example"


@dataclass
class House:
    """Everything that an edge needs, and the edge."""

    db: Database
    clock: Clock
    directory: Directory
    pulse: Pulse
    recipients: Recipients
    queue: Queue
    tally: Tally
    edge: Edge
    settings: Settings
    key: bytes
    accepted: list[int] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.edge.listeners[0].rpartition(":")[2])

    async def add_domain(self, name: str, listed: Sequence[str] = (), **values: Any) -> Domain:
        """A Gold domain with an appliance of its own."""
        with self.db.write() as connection:
            now = self.clock.now()
            appliance = store.add_appliance(connection, now, name=name, primaries=(Primary("192.0.2.25"),))
            domain = store.add_domain(connection, now, name=name, appliance_id=appliance.id, **values)
            lists.add(connection, domain, listed, now)
        await self.learn()
        return domain

    async def set_health(self, domain: Domain, fact: HealthFact) -> None:
        with self.db.write() as connection:
            set_health(connection, domain.appliance_id, fact)
        await self.learn()

    async def learn(self) -> None:
        """Take in what changed in the database."""
        await self.directory.refresh()
        await self.recipients.refresh()

    async def everything(self) -> list[Stored]:
        """What is in the queue for anybody, oldest first."""
        found = [
            one for number in (POSTMASTER, *self.directory.snapshot.appliances) for one in await self.stored_for(number)
        ]
        return sorted(found, key=lambda one: one.row.id)

    async def stored(self, domain: str = "gold.example") -> list[Stored]:
        """What is in the queue for the appliance of a domain, oldest first."""
        return await self.stored_for(self.directory.snapshot.domains[domain].appliance_id)

    async def stored_for(self, appliance_id: int) -> list[Stored]:
        found = []
        for one in await self.queue.due(appliance_id, self.clock.now(), limit=1000):
            octets = await self.queue.content(one.id)
            received, content = octets[: len(octets) - one.size], octets[len(octets) - one.size :]
            found.append(Stored(one.sender, [due.address for due in one.recipients], received, content, one))
        return found

    @asynccontextmanager
    async def client(
        self, *, hello: bool = True, window: int | None = None, source: str = "127.0.0.1"
    ) -> AsyncIterator[Client]:
        """One that has said EHLO, or not. ``window``: bytes of replies that have room on their way to it.

        ``source``: its address, on a listener of the same family.
        """
        client = await self.connect(window, source)
        try:
            if hello:
                assert (await client.reply()).startswith("220 ")
                await client.ask("EHLO client.example")
            yield client
        finally:
            client.writer.transport.abort()

    async def connect(self, window: int | None = None, source: str = "127.0.0.1") -> Client:
        """One that whoever asked for it aborts."""
        family, host = (socket.AF_INET6, "::1") if ":" in source else (socket.AF_INET, "127.0.0.1")
        port = next(
            int(name.rpartition(":")[2]) for name in self.edge.listeners if name.startswith(("127", "[")[":" in source])
        )
        sock = socket.socket(family)
        if window is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
            for server in self.edge._servers:
                for listener in server.sockets:  # what it accepts has its buffers
                    with socket.socket(fileno=os.dup(listener.fileno())) as ours:
                        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, window)
        sock.bind((source, 0))
        sock.connect((host, port))
        return Client(*await asyncio.open_connection(sock=sock, limit=2**20))


@dataclass(frozen=True)
class Stored:
    """A message in the queue: its envelope, our Received line, the content below that, and the row."""

    sender: str
    recipients: list[str]
    received: bytes
    content: bytes
    row: Any


@dataclass
class Client:
    """The other side of a session."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes | str) -> None:
        """Octets as they are; a string is a command."""
        self.writer.write(f"{data}\r\n".encode() if isinstance(data, str) else data)
        await self.writer.drain()

    async def reply(self, timeout: float = 30.0) -> str:
        """The next reply, its lines joined with newlines; empty at the end of the connection."""
        lines = [await self.line(timeout)]
        while lines[-1][3:4] == "-":
            lines.append(await self.line(timeout))
        return "\n".join(lines)

    async def line(self, timeout: float = 30.0) -> str:
        """The next line of a reply; empty at the end of the connection."""
        async with asyncio.timeout(timeout):
            line = (await self.reader.readline()).decode()
        assert line == "" or line.endswith("\r\n"), line
        return line.removesuffix("\r\n")

    async def ask(self, data: bytes | str) -> str:
        await self.send(data)
        return await self.reply()

    async def begin(self, recipient: str = "someone@gold.example", sender: str = "sender@elsewhere.example") -> None:
        """To the 354."""
        assert (await self.ask(f"MAIL FROM:<{sender}>")).startswith("250 ")
        assert (await self.ask(f"RCPT TO:<{recipient}>")).startswith("250 ")
        assert (await self.ask("DATA")).startswith("354 ")

    async def mail(self, content: bytes, **envelope: str) -> str:
        """A message whose content is sent as it is, the dot added; the reply to it."""
        await self.begin(**envelope)
        return await self.ask(content + b"\r\n.\r\n")

    async def choke(self) -> None:
        """Ask for ever more replies and read none, until the relay takes no more commands."""
        await self.ask("MAIL FROM:<a@b.example>")
        self.writer.transport.pause_reading()
        waiting, before = 0, -1
        while waiting == 0 or waiting != before:
            if waiting == 0:
                self.writer.write(b"RCPT TO:<someone@gold.example>\r\n" * 10_000)
            before = waiting
            await asyncio.sleep(0.1)
            waiting = self.writer.transport.get_write_buffer_size()

    async def start_tls(self, context: ssl.SSLContext) -> None:
        assert (await self.ask("STARTTLS")).startswith("220 ")
        await self.writer.start_tls(context)

    async def ended(self) -> bool:
        """Whether the server has closed the connection, all its replies read."""
        async with asyncio.timeout(30):
            return await self.reader.read(1) == b""


@asynccontextmanager
async def house(
    folder: Path,
    *,
    node: dict[str, Any] | None = None,
    clock: Clock | None = None,
    key: Any = b"",
    limits: dict[str, Any] | None = None,
    resolver: str = "127.0.0.1:9",
    **smtp: Any,
) -> AsyncIterator[House]:
    """An edge with one Gold domain, gold.example; ``smtp``: settings of that section. ``key``: else the cluster's.

    ``limits``: those of that section; here nobody waits for the greeting, unless they say so. ``resolver``: for dnsbl.
    """
    settings = Settings(
        node=Node(**{"name": "test", "hostname": HOSTNAME, "postmaster": "post@master.example", **(node or {})}),
        smtp=Smtp(**{"listen": ["127.0.0.1:0"], **smtp}),
        limits=Limits(**{"greet_wait": 0.0, **(limits or {})}),
        dns=Dns(resolvers=[resolver], timeout=1.0),
        metrics=Metrics(listen=""),
    )
    async with AsyncExitStack() as stack:
        db = make_database(folder)
        stack.callback(db.close)
        clock = clock or Clock()
        directory = Directory(db)
        await directory.refresh()
        pulse = Pulse()
        recipients = Recipients(db, directory)
        accepted: list[int] = []
        queue = Queue(db, clock, "test", on_accept=accepted.extend)
        await queue.start()
        stack.push_async_callback(queue.close)
        key = await db.run(secret) if key == b"" else key
        asks = Resolver(settings.dns, clock)
        etrn = Etrn(directory, Endpoints(asks, settings.node), queue, pulse, lambda numbers: None, clock)
        tally = Tally(db, clock, "test")
        edge = Edge(settings, directory, queue, pulse, recipients, clock, etrn, tally, proof_key=key, resolver=asks)
        await edge.start()
        stack.push_async_callback(edge.close, 5.0)
        made = House(db, clock, directory, pulse, recipients, queue, tally, edge, settings, key, accepted)
        await made.add_domain("gold.example")
        yield made
