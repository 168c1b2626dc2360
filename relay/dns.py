"""Look-ups, asynchronous, by dnspython: MX sets and addresses from the resolvers that the settings name.

``NXDOMAIN`` and an empty answer are answers; a time-out, SERVFAIL or an unreachable server is
:class:`relay.errors.LookupFailed`, which everybody treats as temporary. Answers are kept for as long as their TTL
says, within bounds; whoever would rather act on an old answer than on none says how old it may be (``stale``).
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.resolver
import dns.reversename

from relay.clock import Clock
from relay.errors import LookupFailed, SettingsError
from relay.settings import Dns

SHORTEST, LONGEST = 5.0, 300.0
"""Bounds of the seconds for which an answer is kept, whatever its TTL; an answer of nothing is kept for SHORTEST."""
RECHECK = 30.0
"""Seconds for which an old answer serves before the resolver that didn't answer is asked again."""
MOST_NAMES = 5
"""Names of a client that are looked up to find one that leads back to it."""
KEPT = 50_000
"""Answers kept at most."""

Kind = TypeVar("Kind", bound=dns.resolver.BaseResolver)


_HOST = re.compile(r"(?=.{1,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True, order=True)
class Mx:
    """One MX record: a lower preference is tried first (RFC 5321 5.1); ``host`` is lower case without a final dot."""

    preference: int
    host: str


@dataclass(frozen=True, slots=True)
class _Answer:
    records: list[Any]
    came_at: float
    good_until: float
    recheck_at: float = 0.0
    """For those whom an old answer serves: when to ask again a resolver that gave none."""


class Resolver:
    """Asks ``settings.resolvers`` (empty: the system's); ``settings.timeout`` bounds a whole look-up."""

    def __init__(self, settings: Dns, clock: Clock | None = None) -> None:
        self._resolver = _configured(dns.asyncresolver.Resolver, settings)
        self._clock = clock or Clock()
        self._known: dict[tuple[str, str], _Answer] = {}
        self._queries: set[asyncio.Future[dns.resolver.Answer]] = set()

    async def mx(self, domain: str, *, stale: float = 0.0) -> list[Mx]:
        """The MX set, most preferred first; empty where the domain has none or doesn't exist. A null MX (RFC 7505) is
        one record with an empty host. ``stale``: the age in seconds up to which an old answer will do where none can
        be had now. Raises LookupFailed."""
        answer = await self._ask(domain, "MX", stale)
        return sorted(Mx(record.preference, record.exchange.to_text().rstrip(".").lower()) for record in answer)

    async def addresses(self, host: str, *, stale: float = 0.0) -> list[str]:
        """IPv4 and then IPv6 addresses of a host, or the host itself where it is one. Raises LookupFailed where no
        address is known and a look-up failed."""
        try:
            return [str(ipaddress.ip_address(host))]
        except ValueError:
            pass
        answers = await asyncio.gather(
            self._ask(host, "A", stale), self._ask(host, "AAAA", stale), return_exceptions=True
        )
        found: list[str] = []
        failure: LookupFailed | None = None
        for answer in answers:
            if isinstance(answer, LookupFailed):
                failure = answer
            elif isinstance(answer, BaseException):
                raise answer
            else:
                found += [record.address for record in answer]
        if not found and failure is not None:
            raise failure
        return found

    async def listing(self, name: str) -> tuple[list[str], float]:
        """The IPv4 addresses of a name in a list of addresses (RFC 5782), none where it isn't listed, and their TTL.

        Not kept here: so many are asked for that they would drive out everything else. Raises LookupFailed.
        """
        records, life = await self._query(name, "A")
        return [record.address for record in records], life

    async def client_names(self, ip: str) -> tuple[str, str]:
        """The name of a client that its address leads to and that leads back to it, as servers prove one; and the name
        that its address leads to, proven or not. Empty where there is none.

        Not kept here, for the same reason. Raises LookupFailed.
        """
        records, _ = await self._query(dns.reversename.from_address(ip).to_text(), "PTR")
        targets = (record.target.to_text().rstrip(".").lower() for record in records)
        names = [name for name in targets if _HOST.fullmatch(name)]
        for name in names[:MOST_NAMES]:  # in no order that means anything
            records, _ = await self._query(name, "AAAA" if ":" in ip else "A")
            if ipaddress.ip_address(ip) in {ipaddress.ip_address(record.address) for record in records}:
                return name, name
        return "", names[0] if names else ""

    async def _ask(self, name: str, kind: str, stale: float) -> list[Any]:
        now = self._clock.monotonic()
        known = self._known.get((name, kind))
        if known is not None and now < known.good_until:
            return known.records
        old = known if known is not None and now - known.came_at < stale else None
        if old is not None and now < old.recheck_at:
            return old.records
        try:
            records, life = await self._query(name, kind)
        except LookupFailed:
            if old is None:
                raise
            # Not asked again for a while (RFC 8767 5), or each look-up would wait for a dead resolver.
            self._known[name, kind] = replace(old, recheck_at=now + RECHECK)
            return old.records
        if len(self._known) >= KEPT:
            self._known.clear()
        self._known[name, kind] = _Answer(records, now, now + min(max(life, SHORTEST), LONGEST))
        return records

    async def _query(self, name: str, kind: str) -> tuple[list[Any], float]:
        """The records and their TTL."""
        # A caller's cancellation doesn't reach it: uvloop leaves a socket open whose creation is cancelled, and its own
        # time limit ends it soon anyway.
        query = asyncio.ensure_future(self._resolver.resolve(name, kind, search=False))
        self._queries.add(query)
        query.add_done_callback(self._answered)
        try:
            answer = await asyncio.shield(query)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return [], 0.0
        except dns.exception.DNSException as error:
            raise LookupFailed(f"{kind} of {name}: {_words(error)}") from error
        except OSError as error:
            raise LookupFailed(f"{kind} of {name}: {error}") from error
        return list(answer), float(answer.rrset.ttl if answer.rrset is not None else 0)

    def _answered(self, query: asyncio.Future[dns.resolver.Answer]) -> None:
        self._queries.discard(query)
        if not query.cancelled():
            query.exception()  # whoever asked may no longer be there to hear of it


def blocking(settings: Dns) -> dns.resolver.Resolver:
    """dnspython's own, which waits for its answers: for libraries that look things up in a thread of their own."""
    return _configured(dns.resolver.Resolver, settings)


def _configured(kind: type[Kind], settings: Dns) -> Kind:
    try:
        resolver = kind(configure=not settings.resolvers)
    except dns.resolver.NoResolverConfiguration:
        resolver = kind(configure=False)
    if settings.resolvers:
        resolver.nameservers = [_nameserver(text) for text in settings.resolvers]
    resolver.lifetime = settings.timeout
    resolver.timeout = max(settings.timeout / 2, 0.5)
    return resolver


def _nameserver(text: str) -> dns.nameserver.Nameserver:
    host, colon, port = text.rpartition(":")
    if not colon or (":" in host and not host.startswith("[")):
        host, port = text, "53"
    try:
        return dns.nameserver.Do53Nameserver(str(ipaddress.ip_address(host.strip("[]"))), int(port))
    except ValueError:
        raise SettingsError(f"[dns] resolvers: {text!r} should be an address, or address:port") from None


def _words(error: dns.exception.DNSException) -> str:
    """One short line of dnspython's long ones."""
    if isinstance(error, dns.exception.Timeout):
        return "no answer in time"
    if isinstance(error, dns.resolver.NoNameservers):
        return "no name server answered (SERVFAIL or refused)"
    return (str(error) or type(error).__name__).splitlines()[0]
