"""What one node lets in at a time: sessions in all, by client and by domain; bytes in memory in all and by domain.

Counters, nothing else: a refusal says so and changes nothing, and what was let in must be given back.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable, Collection

from relay.errors import Deferred


def client_of(ip: str) -> str:
    """Who has an address: an IPv4 address stands for itself, an IPv6 one for the 64 bits that one host has whole."""
    return ip if ":" not in ip else str(ipaddress.ip_network((ip.partition("%")[0], 64), strict=False))


class Connections:
    """Sessions that are open, by client (:func:`client_of`). ``closed``: whether nobody is to be let in, for another
    node takes the mail."""

    def __init__(self, most: int, most_per_client: int, closed: Callable[[], bool] = lambda: False) -> None:
        self.closed = closed
        self.most = most
        self.most_per_client = most_per_client
        self.clients: Counter[str] = Counter()
        """Sessions by client; one without any isn't in it."""
        self._open = 0

    def __len__(self) -> int:
        return self._open

    def admit(self, ip: str) -> None:
        """Let one more session in. Raises Deferred, always 421."""
        if self.closed():
            raise Deferred(421, "4.3.2", "Not in service now, please use our other MX hosts", "drained")
        if self._open >= self.most:
            raise Deferred(421, "4.3.2", "Too many connections, try again later")
        client = client_of(ip)
        if self.clients[client] >= self.most_per_client:
            raise Deferred(421, "4.7.0", "Too many connections from you, try again later")
        self._open += 1
        self.clients[client] += 1

    def release(self, ip: str) -> None:
        client = client_of(ip)
        self._open -= 1
        self.clients[client] -= 1
        if not self.clients[client]:
            del self.clients[client]


class DomainSessions:
    """Sessions that have mail under way, by domain, of the ``connections`` that there may be in all.

    ``most``: for one domain; 0: no more than are left that no domain has. So one domain gets half of them, and of three
    that are flooded each a quarter, with a quarter left for the others; and each may have one in any case. A domain
    that is the only one has nobody to leave any to.
    """

    def __init__(self, most: int, connections: int) -> None:
        self.most = most
        self.connections = connections
        self.domains: Counter[str] = Counter()
        """Sessions by domain; one without any isn't in it."""
        self._held = 0

    def enter(self, domain: str, *, alone: bool) -> bool:
        """Count one more session for a domain, if it may have it. ``alone``: there is no other domain."""
        most: float = self.most
        if not most:
            most = float("inf") if alone else max(1, self.connections - self._held)
        if self.domains[domain] >= most:
            return False
        self.domains[domain] += 1
        self._held += 1
        return True

    def leave(self, domain: str) -> None:
        self._held -= 1
        self.domains[domain] -= 1
        if not self.domains[domain]:
            del self.domains[domain]


SHARE = 7
"""A domain may hold so many times the memory that is free: alone seven eighths, two of them less than half each."""


class Memory:
    """Bytes of messages that are on their way in, over all sessions.

    However much comes for one domain, or for several, some is always left for the next one.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self._held: Counter[str] = Counter()

    def check(self, size: int) -> None:
        """Raises Deferred, 452, where ``size`` more bytes find no room."""
        if self.used + size > self.limit:
            raise Deferred(452, "4.3.1", "Out of memory, try again later", "memory")

    def take(self, size: int, domains: Collection[str] = ()) -> None:
        """Count ``size`` more bytes, or less where it is negative, for these domains. Raises Deferred, 452."""
        if size > 0:
            self.check(size)
            left = SHARE * (self.limit - self.used - size)
            if any(self._held[domain] + size > left for domain in domains):
                raise Deferred(452, "4.3.1", "Out of memory for this domain, try again later", "memory")
        self.used += size
        for domain in domains:
            self._held[domain] += size
            if not self._held[domain]:
                del self._held[domain]
