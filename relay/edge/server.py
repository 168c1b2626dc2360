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
import ssl
from pathlib import Path

from relay.appliances.directory import Directory
from relay.appliances.pulse import Pulse
from relay.clock import Clock
from relay.edge.admission import Admission
from relay.edge.limits import Connections, Memory
from relay.edge.session import Session, Shared
from relay.errors import StartFailed
from relay.queue.queue import Queue
from relay.recipients.known import Recipients
from relay.settings import Settings, parse_address
from relay.tls import server_context

BACKLOG = 1024
"""Connections that may wait to be let in."""


class Edge:
    """All listeners of a node. ``proof_key``: the cluster's secret (relay.cluster.secret)."""

    def __init__(
        self,
        settings: Settings,
        directory: Directory,
        queue: Queue,
        pulse: Pulse,
        recipients: Recipients,
        clock: Clock,
        *,
        proof_key: bytes,
    ) -> None:
        self._smtp = settings.smtp
        self._clock = clock
        admission = Admission(settings, directory, pulse, recipients, queue.bytes_waiting, clock, proof_key)
        connections = Connections(self._smtp.max_connections, self._smtp.max_connections_per_client)
        self._shared = Shared(
            self._smtp, settings.node.hostname, admission, queue, clock, connections, Memory(self._smtp.memory)
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

    async def start(self) -> None:
        """Load the certificate and listen. Raises StartFailed."""
        self.reload_tls()
        try:
            for listen in self._smtp.listen:
                self._servers.append(await self._listen(listen))
        except StartFailed:
            await self.close(0.0)
            raise
        self._make_rounds()

    def reload_tls(self) -> None:
        """Read the certificate anew; sessions that run keep theirs. Raises StartFailed, and keeps the old one."""
        self._shared.tls = self._context()

    async def close(self, grace: float) -> None:
        """Stop listening; end the sessions within ``grace`` seconds, those with a message on its way last."""
        if self._rounds is not None:
            self._rounds.cancel()
        for server in self._servers:
            server.close()
        for session in list(self._shared.sessions):
            session.leave()
        tasks = {session.task for session in self._shared.sessions}
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

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

    def _context(self) -> ssl.SSLContext | None:
        if not self._smtp.tls_certificate:
            return None
        return server_context(Path(self._smtp.tls_certificate), Path(self._smtp.tls_key))

    def _make_rounds(self) -> None:
        """End the sessions that wait too long. One timer for all costs less than a timer each."""
        now = self._clock.monotonic()
        for session in list(self._shared.sessions):
            session.look_at_the_clock(now)
        self._rounds = asyncio.get_running_loop().call_later(min(1.0, self._smtp.timeout / 10), self._make_rounds)
