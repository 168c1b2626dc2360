"""Where an appliance is reached: its fixed primaries, or, with ``--primary mx``, what the DNS prefers to us.

One hop: of a domain's MX set only hosts that are strictly preferred to this cluster are ever used, and never this
cluster itself, under whatever name (RFC 5321 5.1). Where we aren't in the set, all of it is used; where there is no
MX, the domain's own host is. None left means that mail waits, and a person is told why. When the DNS gives no answer
the last one serves for a day: a dead resolver doesn't stop a drain.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from relay.appliances.model import Appliance, Primary
from relay.dns import Mx, Resolver
from relay.errors import LookupFailed, SettingsError
from relay.settings import Node

STALE = 86400.0


@dataclass(frozen=True, slots=True)
class Route:
    """The hosts for one domain, most preferred first. Where there are none, ``problem`` says why; ``unknown``: only
    because the DNS didn't answer, so that nothing is wrong with the domain; ``null``: it takes no mail at all.

    ``preferences``: of each host, as its MX has it; empty where the order says all, as with fixed primaries.
    """

    primaries: tuple[Primary, ...]
    problem: str = ""
    unknown: bool = False
    null: bool = False
    preferences: tuple[int, ...] = ()

    @property
    def tiers(self) -> tuple[tuple[Primary, ...], ...]:
        """The hosts in groups of equals, which share the mail (RFC 5321 5.1); the most preferred group first."""
        if not self.preferences:
            return tuple((primary,) for primary in self.primaries)
        by_preference = zip(self.preferences, self.primaries, strict=True)
        groups = groupby(by_preference, key=itemgetter(0))
        return tuple(tuple(primary for _, primary in group) for _, group in groups)


class Endpoints:
    """Where to reach appliances, as watch and delivery both see it. ``node``: how the DNS names this cluster."""

    def __init__(self, resolver: Resolver, node: Node) -> None:
        self._resolver = resolver
        self._us = Us(node)

    async def of(self, appliance: Appliance, domain: str) -> Route:
        """Where mail for ``domain`` of ``appliance`` goes. Never raises: what isn't known now is in the value."""
        if appliance.primaries:
            return Route(appliance.primaries)
        try:
            # Without MX records the domain's own host is the only one (RFC 5321 5.1).
            records = await self._resolver.mx(domain, stale=STALE) or [Mx(0, domain)]
            hosts = {record.host for record in records if record.host}
            ours = await self._us.among(self._resolver, hosts, stale=STALE)
        except LookupFailed as error:
            return Route((), f"the DNS gives no answer: {error}", unknown=True)
        return choose(domain, records, ours)

    async def names_us(self, domain: str) -> bool | None:
        """Whether the DNS sends the mail of ``domain`` to this cluster; None where it gives no answer."""
        try:
            # Without MX records the domain's own host is the only one (RFC 5321 5.1).
            records = await self._resolver.mx(domain) or [Mx(0, domain)]
            hosts = {record.host for record in records if record.host}
            if self._us.names & hosts:
                return True
            known = await asyncio.gather(*map(self._resolver.addresses, hosts)) if self._us.addresses else []
        except LookupFailed:
            return None
        return any(not self._us.addresses.isdisjoint(addresses) for addresses in known)

    async def addresses(self, primary: Primary) -> list[str]:
        """IP addresses of a primary; the last known ones where the DNS gives no answer. Raises LookupFailed."""
        return await self._resolver.addresses(primary.host, stale=STALE)

    async def client_names(self, ip: str) -> tuple[str, str]:
        """See :meth:`relay.dns.Resolver.client_names`."""
        return await self._resolver.client_names(ip)


class Us:
    """The names and addresses by which the DNS may mean this cluster. Raises SettingsError when made of nonsense."""

    def __init__(self, node: Node) -> None:
        self.names = {name.rstrip(".").lower() for name in (*node.mx_names, node.hostname)}
        try:
            self.addresses = {str(ipaddress.ip_address(address)) for address in node.mx_addresses}
        except ValueError as error:
            raise SettingsError(f"[node] mx_addresses: {error}") from None

    async def among(self, resolver: Resolver, hosts: Collection[str], *, stale: float = 0.0) -> set[str]:
        """Those of ``hosts`` that are us, by name or address. A host whose address can't be had now is taken for
        somebody else: it can't be connected to either."""

        async def is_us(host: str) -> bool:
            if host in self.names:
                return True
            try:
                return bool(self.addresses) and not self.addresses.isdisjoint(
                    await resolver.addresses(host, stale=stale)
                )
            except LookupFailed:
                return False

        verdicts = await asyncio.gather(*(is_us(host) for host in hosts))
        return {host for host, ours in zip(hosts, verdicts, strict=True) if ours}


def choose(domain: str, records: Sequence[Mx], ours: Collection[str]) -> Route:
    """The hosts of ``records`` that are strictly preferred to us; ``ours``: the hosts that are us."""
    if all(not record.host for record in records):
        return Route((), f"{domain} has a null MX: it takes no mail (RFC 7505)", null=True)
    limit = min((record.preference for record in records if record.host in ours), default=None)
    preferred = [record for record in records if record.host and (limit is None or record.preference < limit)]
    if preferred:
        preferred.sort()
        hosts = tuple(Primary(record.host) for record in preferred)
        return Route(hosts, preferences=tuple(record.preference for record in preferred))
    return Route((), f"no MX of {domain} is strictly preferred to us: {describe(records)}")


def describe(records: Iterable[Mx]) -> str:
    """An MX set in one line: ``10 mail.acme.example, 20 relay.example``."""
    return ", ".join(f"{record.preference} {record.host or '.'}" for record in records) or "no MX"
