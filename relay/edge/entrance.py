"""How a client comes in: who it is, and whether it may have a session.

Promises: a client that has too many sessions gets 421 and costs nothing; behind a load balancer that speaks the PROXY
protocol the client is the one that its header names, for limits, policy, log and Received line alike; anybody else's
header is no command, and no way to be somebody else.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from relay.edge import proxy, refusals
from relay.edge.connection import Ending
from relay.edge.greeting import EARLY
from relay.edge.patience import Patience
from relay.edge.visitor import Visitor
from relay.edge.wire import Wire
from relay.errors import Deferred
from relay.networks import plain

if TYPE_CHECKING:
    from relay.edge.shared import Shared

PROXY_TIMEOUT = 10.0
"""Seconds that a load balancer has for its header."""


class Entrance(Wire):
    """A session up to its greeting. ``ip``, ``port``: the client's, which is counted once it is ``admitted``."""

    def __init__(self, shared: Shared) -> None:
        greeting = f"220 {shared.hostname} ESMTP\r\n".encode()
        super().__init__(shared.clock, greeting, shared.smtp.timeout, shared.visitors.limits.client_errors)
        self.shared = shared
        self.ip = ""
        self.port = 0
        self.visitor: Visitor
        """Known once the client is let in."""
        self._proxied = self.admitted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = transport.get_extra_info("peername") or ("", 0)
        self.ip, self.port = plain(peer[0]), peer[1]
        self._proxied = self.ip in self.shared.proxies
        if not self._proxied:
            try:
                self._admit()
            except Ending as refused:
                self.note(refused.reply, b"", refused.reason)
                link = cast(asyncio.Transport, transport)
                link.write(refusals.line(refused.reply))
                link.close()
                return
        self.shared.enter(self)
        super().connection_made(transport)

    async def opening(self) -> None:
        if self._proxied:
            await self._hear_proxy()
            self._admit()
        if self.visitor.greet_after and (said := await self.silence(self.visitor.greet_after)):
            raise Ending(EARLY, "early-talker", said)

    def closed(self) -> None:
        self.shared.leave(self)
        if self.admitted:
            self.shared.connections.release(self.ip)

    def _admit(self) -> None:
        """Count the client's connection. Raises Ending where it has too many."""
        try:
            self.shared.connections.admit(self.ip)
        except Deferred as refusal:
            raise Ending(refusal.reply, refusal.reason) from None
        self.admitted = True
        self.visitor = Visitor(self.shared.visitors, self.ip)

    async def _hear_proxy(self) -> None:
        """The header with which a load balancer says who the client is. Raises Gone, Ending."""
        usual = self.patience
        self.patience = Patience(min(self.shared.smtp.timeout, PROXY_TIMEOUT), 1, self.clock.monotonic())
        try:
            while (header := proxy.parse(self.lines.head(proxy.V2_LIMIT))) is None:
                await self.more()
        except proxy.Malformed:
            raise Ending(refusals.NO_HEADER) from None
        self.lines.skip(header.size)
        if header.ip:
            self.ip, self.port = plain(header.ip), header.port
        self.patience = usual
