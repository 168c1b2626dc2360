"""What one node lets in at a time: sessions in all and for each client, and bytes that are held in memory.

Counters, nothing else: a refusal says so and changes nothing, and what was let in must be given back.
"""

from __future__ import annotations

import ipaddress
from collections import Counter

from relay.errors import Deferred


class Connections:
    """Sessions that are open. A client is an IPv4 address or an IPv6 network of 64 bits, which one host has whole."""

    def __init__(self, most: int, most_per_client: int) -> None:
        self.most = most
        self.most_per_client = most_per_client
        self.clients: Counter[str] = Counter()
        """Sessions by client; one without any isn't in it."""
        self._open = 0

    def __len__(self) -> int:
        return self._open

    def admit(self, ip: str) -> None:
        """Let one more session in. Raises Deferred, 421 both."""
        if self._open >= self.most:
            raise Deferred(421, "4.3.2", "Too many connections, try again later")
        client = _client(ip)
        if self.clients[client] >= self.most_per_client:
            raise Deferred(421, "4.7.0", "Too many connections from you, try again later")
        self._open += 1
        self.clients[client] += 1

    def release(self, ip: str) -> None:
        client = _client(ip)
        self._open -= 1
        self.clients[client] -= 1
        if not self.clients[client]:
            del self.clients[client]


class Memory:
    """Bytes of messages that are on their way in, over all sessions."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def check(self, size: int) -> None:
        """Raises Deferred, 452, where ``size`` more bytes find no room."""
        if self.used + size > self.limit:
            raise Deferred(452, "4.3.1", "Out of memory, try again later")

    def take(self, size: int) -> None:
        """Count ``size`` more bytes, or less where it is negative. Raises Deferred, 452."""
        if size > 0:
            self.check(size)
        self.used += size


def _client(ip: str) -> str:
    return ip if ":" not in ip else str(ipaddress.ip_network((ip.partition("%")[0], 64), strict=False))
