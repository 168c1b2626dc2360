"""One client, as it is treated apart from what it says: greeted when, heard how often, kept away or not.

The one place where a session meets limits, rates, the greeting and block lists, which know nothing of each other.
Every method is asked at one moment of a session and does nothing where nothing is set.
"""

from __future__ import annotations

from collections.abc import Callable

from relay.clock import Clock
from relay.dns import Resolver
from relay.edge.addresses import Path
from relay.edge.blocklist import Blocklists
from relay.edge.connection import Ending
from relay.edge.greeting import Known
from relay.edge.limits import DomainSessions, client_of
from relay.edge.rates import Rates
from relay.edge.transaction import Routes
from relay.errors import Deferred, Rejected
from relay.mail import Reply
from relay.networks import Networks
from relay.settings import Limits

FULL = Reply(421, "4.7.0", "Too many connections with mail for this domain, try again later")


class Visitors:
    """What a node knows of its clients. ``connections``: sessions in all; ``domains``: how many Gold domains."""

    def __init__(
        self, limits: Limits, connections: int, resolver: Resolver, clock: Clock, domains: Callable[[], int]
    ) -> None:
        self.clock = clock
        self.limits = limits
        self.rates = Rates(limits)
        self.sessions = DomainSessions(limits.domain_connections, connections)
        self.known = Known()
        self.blocklists = Blocklists(resolver, clock, limits.dnsbl)
        self._exempt = Networks(limits.exempt)
        self._domains = domains

    def reconfigure(self, limits: Limits, connections: int) -> None:
        """Go by other limits from now on; who is exempt is looked at when a session begins."""
        self.limits = limits
        self.rates.reconfigure(limits)
        self.sessions.most, self.sessions.connections = limits.domain_connections, connections
        self.blocklists.reconfigure(limits.dnsbl)
        self._exempt = Networks(limits.exempt)

    def close(self) -> None:
        self.blocklists.close()

    def exempt(self, ip: str) -> bool:
        """Whether an address is in one of the networks that are trusted."""
        return ip in self._exempt

    def alone(self) -> bool:
        """Whether there is but one Gold domain."""
        return self._domains() < 2


class Visitor:
    """The client of one session."""

    __slots__ = ("_client", "_exempt", "_held", "_ip", "_node", "greet_after")

    def __init__(self, node: Visitors, ip: str) -> None:
        self._node = node
        self._ip = ip
        self._client = client_of(ip)
        self._exempt = node.exempt(ip)
        self._held: set[str] = set()
        known = self._exempt or node.known.knows(self._client, node.clock.monotonic())
        self.greet_after = 0.0 if known else node.limits.greet_wait
        """Seconds for which the banner is kept back."""
        if not self._exempt:
            node.blocklists.ask(ip)

    def begins(self) -> None:
        """MAIL. Raises Deferred."""
        if not self._exempt:
            self._node.rates.message(self._client, self._node.clock.monotonic())

    async def names(self, path: Path) -> None:
        """RCPT, whoever the recipient is. A postmaster can be reached from everywhere (RFC 5321 4.5.1).

        Raises Deferred; Rejected where a list names the client.
        """
        if self._exempt:
            return
        self._node.rates.recipient(self._client, self._node.clock.monotonic())
        if path.local.lower() != "postmaster" and (zone := await self._node.blocklists.listed(self._ip)):
            raise Rejected(554, "5.7.1", f"Mail from {self._ip} is not taken here: {zone} lists it", "dnsbl")

    def enters(self, domain: str, recipients: int) -> None:
        """A recipient is good: ``recipients`` of a domain are in this message now. Raises Deferred, Ending."""
        node = self._node
        if not self._exempt:
            node.rates.room(domain, recipients, node.clock.monotonic())
        if domain in self._held:
            return
        if node.sessions.enter(domain, alone=node.alone()):
            self._held.add(domain)
        elif self._held:  # the session goes on: it has mail for somebody else
            raise Deferred(450, "4.7.1", FULL.text, "domain-connections")
        else:
            raise Ending(FULL, "domain-connections")

    def delivered(self, routes: Routes) -> None:
        """A message was taken."""
        node, now = self._node, self._node.clock.monotonic()
        node.known.add(self._client, now)
        if not self._exempt:
            for domain, recipients in routes:
                node.rates.taken(domain.name, len(recipients), now)

    def ends(self) -> None:
        """There is no transaction any more."""
        for domain in self._held:
            self._node.sessions.leave(domain)
        self._held.clear()
