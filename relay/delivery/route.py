"""Where mail goes: the hosts of an appliance in their order, fail-over between them, and rest for those that fail.

The first host that works gets the connections; one that it won't take goes to the next. A host that couldn't be
connected to rests for a while, longer each time in a row. With ``--primary mx`` each domain has hosts of its own
(relay.appliances.mx): a recipient goes to hosts of its own domain alone.

Where an appliance is, whether it may be drained, and whom to tell of trouble is its :class:`Destination`; the relay's
own postmaster is one too, whose mail is forwarded to the address that the settings name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from relay.appliances.directory import Directory
from relay.appliances.model import Activation, Appliance, Primary
from relay.appliances.mx import Endpoints, Route
from relay.appliances.pulse import Pulse, Reach
from relay.clock import Clock
from relay.cluster.lease import POSTMASTER
from relay.mail import domain_of
from relay.queue.model import Due, Outgoing

RESTS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Seconds of rest after the first, second … failure in a row; the last one from then on."""
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

    async def addresses(self, primary: Primary) -> list[str]:
        """IP addresses of a host. Raises LookupFailed."""
        return await self._endpoints.addresses(primary)

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
        there = domain_of(self._address)
        gold = self._directory.domain(there)
        appliance = self._directory.appliance(gold.appliance_id) if gold else None
        return await self._endpoints.of(appliance or _BY_MX, there)

    def address(self, recipient: Due) -> str:
        """The one exception: <postmaster> is nobody there."""
        return self._address

    def suspect(self) -> None:
        """Nobody to tell."""


_BY_MX = Appliance(POSTMASTER, "postmaster", "", (), "none", "UTC", "", Activation.MANUAL, (), True, (), 0.0)


class Hops:
    """The hosts of one destination, and which of them rest. Used by one drain."""

    def __init__(self, destination: Destination, clock: Clock) -> None:
        self._destination = destination
        self._clock = clock
        self._routes: dict[str, tuple[Primary, ...]] = {}
        self._looked_up_at = 0.0
        self._failures: dict[Primary, int] = {}
        self._rests: dict[Primary, float] = {}

    async def look_up(self, domains: Iterable[str]) -> None:
        """Learn the hosts for ``domains``, and those known anew when it is time to."""
        if self._destination.fixed:
            return
        now = self._clock.monotonic()
        if now - self._looked_up_at > REFRESH:
            self._looked_up_at = now
            wanted = {*domains, *self._routes}
        else:
            wanted = set(domains) - self._routes.keys()
        for domain in wanted:
            self._routes[domain] = (await self._destination.route(domain)).primaries

    def next(self, domains: Iterable[str]) -> Primary | None:
        """The host for the next connection: of the first of ``domains`` that has one which doesn't rest."""
        now = self._clock.monotonic()
        asked: set[str] = set()
        for domain in domains:
            if domain not in asked:
                asked.add(domain)
                for primary in self._of(domain):
                    if self._rests.get(primary, 0.0) <= now:
                        return primary
        return None

    def serves(self, primary: Primary, parcel: Outgoing) -> bool:
        """Whether a connection to ``primary`` may carry the parcel."""
        return primary in self._of(parcel.recipients[0].domain)

    def failed(self, primary: Primary, *, silent: bool = False) -> None:
        """It couldn't be used: let it rest. ``silent``: only time told; where there is another host, none is lost to
        this one for a while."""
        times = self._failures.get(primary, 0)
        self._failures[primary] = times + 1
        if silent and any(
            primary in hosts and len(hosts) > 1 for hosts in (self._destination.fixed, *self._routes.values())
        ):
            times = len(RESTS) - 1
        self._rests[primary] = self._clock.monotonic() + RESTS[min(times, len(RESTS) - 1)]

    def worked(self, primary: Primary) -> None:
        """It answered a message."""
        self._failures.pop(primary, None)
        self._rests.pop(primary, None)

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

    def _of(self, domain: str) -> tuple[Primary, ...]:
        return self._destination.fixed or self._routes.get(domain, ())
