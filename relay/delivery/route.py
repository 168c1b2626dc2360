"""Where mail goes: the hosts of an appliance in the order of preference, fail-over between them, and equal shares.

The most preferred host gets the connections; those that it won't take, because it failed, is silent or said that it is
full, go to the next, and come back when it takes them again. Fixed primaries are preferred in the order in which they
were given. With ``--primary mx`` each domain has hosts of its own (relay.appliances.mx): a recipient goes to hosts of
its own domain alone, and hosts of the same preference share the connections.

Where an appliance is, whether it may be drained, and whom to tell of trouble is its :class:`Destination`; the relay's
own postmaster is one too, whose mail is forwarded to the address that the settings name; and so is the domain of a
stranger who is sent a report.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Collection, Iterable
from itertools import chain

from relay.appliances.directory import Directory
from relay.appliances.model import Activation, Appliance, Primary
from relay.appliances.mx import Endpoints, Route
from relay.appliances.pulse import Pulse, Reach
from relay.clock import Clock
from relay.cluster.lease import POSTMASTER
from relay.delivery.ceiling import Ceiling
from relay.delivery.greylisting import Appointments
from relay.delivery.host import Host
from relay.delivery.paths import Paths
from relay.delivery.ramp import Ramp
from relay.mail import domain_of
from relay.queue.model import Due, Outgoing
from relay.tls import Policy

MOST_RECIPIENTS = 100
"""Recipients of one transaction: as many as every server has to take (RFC 5321 4.5.3.1.8)."""
REFRESH = 60.0
"""Seconds after which the hosts are looked up again; the resolver remembers them for as long as they are good."""


class Destination:
    """An appliance, as a place that mail goes to."""

    def __init__(self, appliance_id: int, directory: Directory, endpoints: Endpoints, pulse: Pulse) -> None:
        self.id = appliance_id
        self._directory = directory
        self._endpoints = endpoints
        self._pulse = pulse
        self.refused_senders: set[str] = set()
        """Some of those that it refused since it last took any; for longer than a drain, or the next one would begin to
        believe it."""
        self._paths = Paths()
        self._ceiling: Ceiling | None = None

    @property
    def name(self) -> str:
        appliance = self._directory.appliance(self.id)
        return appliance.name if appliance else str(self.id)

    def reach(self) -> Reach:
        return self._pulse.reach(self.id)

    @property
    def fixed(self) -> tuple[Primary, ...]:
        """The hosts for every domain; empty where each domain's MX says."""
        appliance = self._directory.appliance(self.id)
        return appliance.primaries if appliance else ()

    async def route(self, domain: str) -> Route:
        """The hosts for a domain, most preferred first. Never raises."""
        appliance = self._directory.appliance(self.id)
        if appliance is None:
            return Route((), "the appliance was removed")
        return await self._endpoints.of(appliance, domain)

    async def _elsewhere(self, domain: str) -> Route:
        """The hosts for any domain: its appliance's where it is a Gold domain, otherwise what its MX says."""
        gold = self._directory.domain(domain)
        appliance = self._directory.appliance(gold.appliance_id) if gold else None
        return await self._endpoints.of(appliance or _BY_MX, domain)

    async def addresses(self, primary: Primary) -> list[str]:
        """IP addresses of a host, in the order in which they should be tried. Raises LookupFailed."""
        addresses = await self._endpoints.addresses(primary)
        return self._paths.in_turn(primary, addresses, asyncio.get_running_loop().time())

    def reached(self, primary: Primary, address: str) -> None:
        """A host was reached at this address."""
        self._paths.worked(primary, address, asyncio.get_running_loop().time())

    def max_connections(self, usual: int) -> int:
        """How many connections it may have at once; ``usual``: where its operator has said nothing."""
        appliance = self._directory.appliance(self.id)
        return (appliance.max_connections if appliance else None) or usual

    def tls(self, usual: Policy) -> Policy:
        """How its hosts are spoken to; ``usual``: where its operator has said nothing."""
        appliance = self._directory.appliance(self.id)
        return (appliance.tls if appliance else None) or usual

    @property
    def max_rate(self) -> float | None:
        """Messages a second, by its operator's word; None for any number."""
        appliance = self._directory.appliance(self.id)
        return appliance.max_rate if appliance else None

    def ceiling(self, now: float) -> Ceiling | None:
        """The same with what was begun up to ``now`` (monotonic seconds)."""
        rate = self.max_rate
        if rate is None:
            self._ceiling = None
        elif self._ceiling is None:
            self._ceiling = Ceiling(rate, now)
        else:
            self._ceiling = self._ceiling.changed(rate, now)
        return self._ceiling

    def begun(self, now: float) -> None:
        """A message is begun: it counts, also for the next drain."""
        ceiling = self.ceiling(now)
        if ceiling is not None:
            self._ceiling = ceiling.begun(now)

    async def client_names(self, ip: str) -> tuple[str, str]:
        """What a client at that address is called: proven, and as the DNS alone says. Raises LookupFailed."""
        return await self._endpoints.client_names(ip)

    def address(self, recipient: Due) -> str:
        """RCPT: as it came, for the envelope is not ours to change."""
        return recipient.address

    def suspect(self) -> None:
        """It stopped answering: to be probed now."""
        self._pulse.suspect(self.id)


class Postmaster(Destination):
    """The relay's own postmaster. Nobody watches where he reads his mail: each message has its own retry time."""

    def __init__(self, address: str, directory: Directory, endpoints: Endpoints, pulse: Pulse) -> None:
        super().__init__(POSTMASTER, directory, endpoints, pulse)
        self._address = address

    @property
    def name(self) -> str:
        return "postmaster"

    def reach(self) -> Reach:
        return Reach.YES if self._address else Reach.NO

    async def route(self, domain: str) -> Route:
        """The MX, or the address, of the domain of [node] postmaster; its appliance where that is a Gold domain."""
        return await self._elsewhere(domain_of(self._address))

    def address(self, recipient: Due) -> str:
        """The one exception: <postmaster> is nobody there."""
        return self._address

    def suspect(self) -> None:
        """Nobody to tell."""


class Stranger(Destination):
    """The domain of somebody who has sent us mail, and is told what became of it. Nobody watches it either."""

    def __init__(self, domain: str, directory: Directory, endpoints: Endpoints, pulse: Pulse) -> None:
        super().__init__(POSTMASTER, directory, endpoints, pulse)
        self.domain = domain

    @property
    def name(self) -> str:
        return self.domain

    def reach(self) -> Reach:
        return Reach.YES

    async def route(self, domain: str) -> Route:
        return await self._elsewhere(domain)

    def suspect(self) -> None:
        """Nobody to tell."""


_BY_MX = Appliance(POSTMASTER, "postmaster", "", (), "none", "UTC", "", Activation.MANUAL, (), True, (), 0.0)


class Hops:
    """The hosts of one destination, and how each is doing. Used by one drain.

    ``ramp``: what a host begins with. ``appointments``: who is expected where, because of greylisting.
    """

    def __init__(
        self, destination: Destination, clock: Clock, appointments: Appointments, ramp: Callable[[], Ramp]
    ) -> None:
        self._destination = destination
        self._clock = clock
        self._appointments = appointments
        self._ramp = ramp
        self._tiers: dict[str, tuple[tuple[Primary, ...], ...]] = {}
        self._looked_up_at = 0.0
        self._hosts: dict[Primary, Host] = {}

    async def look_up(self, domains: Iterable[str]) -> None:
        """Learn the hosts for ``domains``, and those known anew when it is time to."""
        if self._destination.fixed:
            return
        now = self._clock.monotonic()
        if now - self._looked_up_at > REFRESH:
            self._looked_up_at = now
            wanted = {*domains, *self._tiers}
        else:
            wanted = set(domains) - self._tiers.keys()
        for domain in wanted:
            self._tiers[domain] = (await self._destination.route(domain)).tiers

    def host(self, primary: Primary) -> Host:
        host = self._hosts.get(primary)
        if host is None:
            host = self._hosts[primary] = Host(primary, self._ramp())
        return host

    @property
    def hosts(self) -> Collection[Host]:
        """Those that were turned to so far."""
        return self._hosts.values()

    def begin_anew(self) -> None:
        """Each is treated as gently as at its first return."""
        for host in self._hosts.values():
            host.begin_anew(self._ramp())

    def next(self, parcels: Iterable[Outgoing]) -> tuple[Primary, Outgoing] | None:
        """The host for the next connection, and the first of ``parcels`` that it is for."""
        now = self._clock.monotonic()
        asked: set[tuple[str, Primary | None]] = set()
        for parcel in parcels:
            recipient = parcel.recipients[0]
            expected = self._appointments.host(recipient.id)
            if (recipient.domain, expected) not in asked:
                asked.add((recipient.domain, expected))
                host = self._choose(recipient.domain, expected, now)
                if host is not None:
                    return host.primary, parcel
        return None

    def any_of(self, domain: str) -> Primary | None:
        """A host of a domain that doesn't rest, for a question."""
        now = self._clock.monotonic()
        return next((primary for primary in self._of(domain) if not self.host(primary).rests(now)), None)

    def serves(self, primary: Primary, parcel: Outgoing) -> bool:
        """Whether a connection to ``primary`` may carry the parcel."""
        recipient = parcel.recipients[0]
        expected = self._appointments.host(recipient.id)
        if expected is not None and expected != primary and self._keeps(recipient.domain, expected):
            return False
        return primary in self._of(recipient.domain)

    def outdone(self, primary: Primary, parcel: Outgoing) -> bool:
        """Whether a more preferred host than ``primary`` has room for the parcel's mail again."""
        if len(self._hosts) < 2:
            return False
        now = self._clock.monotonic()
        for tier in self._tiers_of(parcel.recipients[0].domain):
            if primary in tier:
                return False
            if any(self.host(other).room(now) for other in tier):
                return self._appointments.host(parcel.recipients[0].id) != primary
        return False

    def replaceable(self, primary: Primary) -> bool:
        """Whether the mail of a connection to ``primary`` could go to another host."""
        tiers = (self._destination.fixed,) if self._destination.fixed else map(self._of, self._tiers)
        return any(primary in hosts and len(hosts) > 1 for hosts in tiers)

    def split(self, message: Outgoing) -> list[Outgoing]:
        """One parcel for each set of hosts and every hundred recipients."""
        if len(message.recipients) == 1:
            return [message]
        groups: dict[tuple[str, ...], list[Due]] = {}
        for recipient in message.recipients:
            route = tuple(str(primary) for primary in self._of(recipient.domain)) or (recipient.domain,)
            groups.setdefault(route, []).append(recipient)
        return [
            dataclasses.replace(message, recipients=tuple(group[start : start + MOST_RECIPIENTS]))
            for group in groups.values()
            for start in range(0, len(group), MOST_RECIPIENTS)
        ]

    def _choose(self, domain: str, expected: Primary | None, now: float) -> Host | None:
        """Of the most preferred hosts with room the one with the fewest connections. A less preferred one has to wait
        as long as one before it may yet get more."""
        if expected is not None and self._keeps(domain, expected):
            host = self.host(expected)
            return host if host.room(now) else None
        for tier in self._tiers_of(domain):
            hosts = [self.host(primary) for primary in tier]
            free = [host for host in hosts if host.room(now)]
            if free:
                return min(free, key=lambda host: host.connections)
            if not all(host.passes_on(now) for host in hosts):
                return None
        return None

    def _keeps(self, domain: str, expected: Primary) -> bool:
        """Whether a host that expects somebody is there to do so."""
        return expected in self._of(domain) and not self.host(expected).failures

    def _of(self, domain: str) -> tuple[Primary, ...]:
        return self._destination.fixed or tuple(chain.from_iterable(self._tiers.get(domain, ())))

    def _tiers_of(self, domain: str) -> Iterable[tuple[Primary, ...]]:
        fixed = self._destination.fixed
        return ((primary,) for primary in fixed) if fixed else self._tiers.get(domain, ())
