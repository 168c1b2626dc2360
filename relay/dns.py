"""Look-ups, asynchronous, by dnspython: MX sets and addresses from the resolvers that the settings name.

``NXDOMAIN`` and an empty answer are answers; a time-out, SERVFAIL or an unreachable server is
:class:`relay.errors.LookupFailed`, which everybody treats as temporary.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any

import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.resolver

from relay.errors import LookupFailed, SettingsError
from relay.settings import Dns


@dataclass(frozen=True, slots=True, order=True)
class Mx:
    """One MX record: a lower preference is tried first (RFC 5321 5.1); ``host`` is lower case without a final dot."""

    preference: int
    host: str


class Resolver:
    """Asks ``settings.resolvers`` (empty: the system's); ``settings.timeout`` bounds a whole look-up."""

    def __init__(self, settings: Dns) -> None:
        try:
            self._resolver = dns.asyncresolver.Resolver(configure=not settings.resolvers)
        except dns.resolver.NoResolverConfiguration:
            self._resolver = dns.asyncresolver.Resolver(configure=False)
        if settings.resolvers:
            self._resolver.nameservers = [_nameserver(text) for text in settings.resolvers]
        self._resolver.lifetime = settings.timeout
        self._resolver.timeout = max(settings.timeout / 2, 0.5)

    async def mx(self, domain: str) -> list[Mx]:
        """The MX set, most preferred first; empty where the domain has none or doesn't exist. A null MX (RFC 7505) is
        one record with an empty host. Raises LookupFailed."""
        answer = await self._ask(domain, "MX")
        return sorted(Mx(record.preference, record.exchange.to_text(omit_final_dot=True).lower()) for record in answer)

    async def addresses(self, host: str) -> list[str]:
        """IPv4 and then IPv6 addresses of a host, or the host itself where it is one. Raises LookupFailed where no
        address is known and a look-up failed."""
        try:
            return [str(ipaddress.ip_address(host))]
        except ValueError:
            pass
        found: list[str] = []
        failure: LookupFailed | None = None
        for kind in ("A", "AAAA"):
            try:
                found += [record.address for record in await self._ask(host, kind)]
            except LookupFailed as error:
                failure = error
        if not found and failure is not None:
            raise failure
        return found

    async def _ask(self, name: str, kind: str) -> list[Any]:
        try:
            return list(await self._resolver.resolve(name, kind, search=False))
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except dns.exception.DNSException as error:
            raise LookupFailed(f"{kind} of {name}: {_words(error)}") from error
        except OSError as error:
            raise LookupFailed(f"{kind} of {name}: {error}") from error


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
