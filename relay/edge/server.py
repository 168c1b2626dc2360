"""The listeners: they bind on the running loop, let sessions in, watch their time, and end them in order.

Promises: a port that can't be had, or a certificate that doesn't load, is StartFailed in one line, with nothing left
open; ports are never shared with another process (no SO_REUSEPORT), so that a second start is noticed. At the end
idle sessions get 421 at once and those with a message on its way after it is committed.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable

from relay import events
from relay.appliances.directory import Directory
from relay.appliances.pulse import Pulse
from relay.clock import Clock
from relay.dns import Resolver
from relay.edge.admission import Admission
from relay.edge.etrn import Etrn
from relay.edge.limits import Connections, Memory
from relay.edge.session import Session
from relay.edge.shared import Shared
from relay.edge.shares import Shares
from relay.edge.tally import Tally
from relay.edge.visitor import Visitors
from relay.errors import StartFailed
from relay.networks import Networks
from relay.queue.queue import Queue
from relay.recipients.known import Recipients
from relay.settings import Limits, Settings, Smtp
from relay.tls import listener_context
from relay.values import parse_address

BACKLOG = 1024
"""Connections that may wait to be let in."""


class Edge:
    """All listeners of a node. ``proof_key``: the cluster's secret (relay.cluster.secret); ``resolver``: for [limits]
    dnsbl; ``closed``: whether other nodes are to have all new sessions."""

    def __init__(
        self,
        settings: Settings,
        directory: Directory,
        queue: Queue,
        pulse: Pulse,
        recipients: Recipients,
        clock: Clock,
        etrn: Etrn,
        tally: Tally,
        *,
        proof_key: bytes,
        resolver: Resolver,
        closed: Callable[[], bool] = lambda: False,
    ) -> None:
        smtp, node = settings.smtp, settings.node
        admission = Admission(node, directory, pulse, recipients, queue.depth_of_domain, clock, proof_key)
        connections = Connections(smtp.max_connections, smtp.max_connections_per_client, closed)
        visitors = Visitors(
            settings.limits, smtp.max_connections, resolver, clock, lambda: len(directory.snapshot.domains)
        )
        self._shared = Shared(
            smtp,
            node.hostname,
            admission,
            queue,
            clock,
            connections,
            Memory(smtp.memory),
            Shares(clock, on=smtp.fair_shares),
            visitors,
            etrn,
            tally,
        )
        self._servers: list[asyncio.Server] = []
        self._rounds: asyncio.TimerHandle | None = None

    @property
    def listeners(self) -> list[str]:
        """Where it listens, as host:port."""
        names = [sock.getsockname() for server in self._servers for sock in server.sockets]
        return [f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}" for name in names]

    @property
    def sessions(self) -> int:
        """How many are open."""
        return len(self._shared.sessions)

    @property
    def bytes_in_flight(self) -> int:
        """How much is held of messages that are on their way in."""
        return self._shared.memory.used

    async def start(self) -> None:
        """Load the certificate and listen. Raises StartFailed."""
        self.reconfigure(self._shared.smtp)
        try:
            for listen in self._shared.smtp.listen:
                self._servers.append(await self._listen(listen))
        except StartFailed:
            await self.close(0.0)
            raise
        self._make_rounds()

    def reconfigure(self, smtp: Smtp) -> None:
        """Take over other settings (but ``listen``), and read the certificate anew; sessions that run keep theirs.

        Raises StartFailed where the certificate doesn't load, and changes nothing.
        """
        shared = self._shared
        shared.tls = listener_context(smtp)
        shared.smtp = smtp
        shared.proxies = Networks(smtp.proxy_protocol_from)
        shared.askers = Networks(smtp.etrn_from)
        shared.connections.most = smtp.max_connections
        shared.connections.most_per_client = smtp.max_connections_per_client
        shared.memory.limit = smtp.memory
        shared.shares.on = smtp.fair_shares
        shared.visitors.reconfigure(shared.visitors.limits, smtp.max_connections)

    def reconfigure_limits(self, limits: Limits) -> None:
        """Take over other settings of [limits]; what counts in a session, its errors, from the next one on."""
        self._shared.visitors.reconfigure(limits, self._shared.smtp.max_connections)

    async def close(self, grace: float) -> None:
        """Stop listening; end the sessions within ``grace`` seconds, those with a message on its way last."""
        if self._rounds is not None:
            self._rounds.cancel()
        for server in self._servers:
            server.close()
        self._shared.etrn.close()
        sessions = self._shared.sessions
        for session in list(sessions):
            session.leave()
        tasks = {session.task for session in sessions}
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await asyncio.sleep(0)
        for session in list(sessions):
            session.abort()  # the client doesn't take its last reply
        self._shared.visitors.close()
        await self._shared.empty.wait()

    async def _listen(self, listen: str) -> asyncio.Server:
        host, port = parse_address(listen)
        try:
            return await asyncio.get_running_loop().create_server(
                lambda: Session(self._shared), host, port, backlog=BACKLOG
            )
        except socket.gaierror as error:
            raise StartFailed(f"can't listen on {listen}: {host} is not an address of this machine") from error
        except OSError as error:
            why = os.strerror(error.errno).lower() if error.errno else str(error)
            hint = "; is another node running?" if error.errno == errno.EADDRINUSE else ""
            raise StartFailed(f"can't listen on {listen}: {why}{hint}") from error

    def _make_rounds(self) -> None:
        """Look after the sessions: end those that wait too long. One timer for all costs less than a timer each."""
        every = min(1.0, self._shared.smtp.timeout / 10)
        self._rounds = asyncio.get_running_loop().call_later(every, self._make_rounds)
        events.sessions(self.sessions, self.bytes_in_flight)
        now = self._shared.clock.monotonic()
        for session in list(self._shared.sessions):
            session.look_at_the_clock(now)
