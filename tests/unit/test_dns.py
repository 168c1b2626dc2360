"""Look-ups against a name server on loopback that can be told to fail."""

from __future__ import annotations

import asyncio
from pathlib import Path

import dns.reversename
import pytest

from relay.clock import Clock
from relay.dns import Mx, Resolver
from relay.errors import LookupFailed, SettingsError
from relay.settings import Dns
from tests.support.dns_stub import DnsStub
from tests.support.waiting import eventually

ZONE = {
    "acme.test MX": ["20 Relay.Test.", "10 mail.acme.test."],
    "mail.acme.test A": ["192.0.2.1"],
    "mail.acme.test AAAA": ["2001:db8::1"],
    "null.test MX": ["0 ."],
    "bare.test TXT": ["nothing"],
}


def resolver_for(stub: DnsStub, monotonic: list[float] | None = None) -> Resolver:
    ticks = monotonic or [0.0]
    return Resolver(Dns(resolvers=[stub.address], timeout=1.0), Clock(wall=lambda: 0.0, monotonic=lambda: ticks[0]))


async def test_the_most_preferred_mx_comes_first() -> None:
    """An MX set is sorted by preference, in lower case and without final dots."""
    async with DnsStub(ZONE) as stub:
        assert await resolver_for(stub).mx("acme.test") == [Mx(10, "mail.acme.test"), Mx(20, "relay.test")]


async def test_a_null_mx_is_one_empty_host() -> None:
    """RFC 7505's 'takes no mail' differs from having no MX."""
    async with DnsStub(ZONE) as stub:
        assert await resolver_for(stub).mx("null.test") == [Mx(0, "")]


async def test_what_does_not_exist_is_an_answer() -> None:
    """NXDOMAIN and an empty answer are empty lists, not failures."""
    async with DnsStub(ZONE) as stub:
        resolver = resolver_for(stub)
        assert await resolver.mx("nowhere.test") == []
        assert await resolver.mx("bare.test") == []
        assert await resolver.addresses("nowhere.test") == []


async def test_servfail_and_silence_are_failures() -> None:
    """SERVFAIL and a time-out raise LookupFailed, in words without a traceback's length."""
    async with DnsStub(ZONE) as stub:
        stub.servfail = {"acme.test"}
        with pytest.raises(LookupFailed, match="MX of acme.test: no name server answered"):
            await resolver_for(stub).mx("acme.test")
        stub.silent = True
        with pytest.raises(LookupFailed, match="MX of null.test: no answer in time"):
            await resolver_for(stub).mx("null.test")


async def test_addresses_of_both_families() -> None:
    """IPv4 comes before IPv6, and an address is its own address without a query."""
    async with DnsStub(ZONE) as stub:
        resolver = resolver_for(stub)
        assert await resolver.addresses("mail.acme.test") == ["192.0.2.1", "2001:db8::1"]
        stub.queries.clear()
        assert await resolver.addresses("2001:DB8::25") == ["2001:db8::25"]
        assert stub.queries == []


async def test_an_answer_is_kept_as_long_as_its_ttl() -> None:
    """The resolver is asked once a TTL, however often the name is looked up."""
    now = [0.0]
    async with DnsStub(ZONE, ttl=60) as stub:
        resolver = resolver_for(stub, now)
        for _ in range(3):
            await resolver.mx("acme.test")
        assert stub.queries == ["acme.test MX"]
        now[0] = 61.0
        await resolver.mx("acme.test")
        assert stub.queries == ["acme.test MX"] * 2


async def test_an_old_answer_serves_only_who_asks_for_it() -> None:
    """With a dead resolver an expired answer is given to those who say how old it may be, and to nobody else."""
    now = [0.0]
    async with DnsStub(ZONE, ttl=60) as stub:
        resolver = resolver_for(stub, now)
        fresh = await resolver.mx("acme.test")
        stub.servfail = {"acme.test"}
        now[0] = 3600.0
        with pytest.raises(LookupFailed):
            await resolver.mx("acme.test")
        assert await resolver.mx("acme.test", stale=86400.0) == fresh
        asked = len(stub.queries)
        assert await resolver.mx("acme.test", stale=86400.0) == fresh
        assert len(stub.queries) == asked, "a resolver that is dead is left alone for a while"
        with pytest.raises(LookupFailed):
            await resolver.mx("acme.test")
        now[0] = 90000.0
        with pytest.raises(LookupFailed):
            await resolver.mx("acme.test", stale=86400.0)


REVERSE = {
    "1.2.0.192.in-addr.arpa PTR": ["Mail.Proven.test.", "other.test."],
    "mail.proven.test A": ["192.0.2.7", "192.0.2.1"],
    "2.2.0.192.in-addr.arpa PTR": ["mail.claimed.test."],
    "mail.claimed.test A": ["192.0.2.99"],
    "3.2.0.192.in-addr.arpa PTR": ["gone.test."],
    "4.2.0.192.in-addr.arpa PTR": ["under_score.odd\\032name.test."],
}
CLIENTS = {
    "192.0.2.1": ("mail.proven.test", "mail.proven.test"),
    "192.0.2.2": ("", "mail.claimed.test"),
    "192.0.2.3": ("", "gone.test"),
    "192.0.2.4": ("", ""),
    "192.0.2.5": ("", ""),
}


@pytest.mark.parametrize(("ip", "names"), CLIENTS.items())
async def test_a_client_s_name_has_to_lead_back_to_it(ip: str, names: tuple[str, str]) -> None:
    """What the DNS calls an address is its name only if it has that address; what is no host name is none."""
    async with DnsStub(REVERSE) as stub:
        assert await resolver_for(stub).client_names(ip) == names


async def test_a_client_s_name_by_ipv6() -> None:
    """The same for IPv6, however the address is written."""
    pointer = dns.reversename.from_address("2001:db8::1").to_text(omit_final_dot=True)
    async with DnsStub({f"{pointer} PTR": ["six.test."], "six.test AAAA": ["2001:db8:0:0::1"]}) as stub:
        assert await resolver_for(stub).client_names("2001:db8::1") == ("six.test", "six.test")
        stub.servfail = {"six.test"}
        with pytest.raises(LookupFailed):
            await resolver_for(stub).client_names("2001:db8::1")


def test_a_resolver_that_is_no_address_is_refused() -> None:
    """[dns] resolvers takes addresses, with or without a port."""
    Resolver(Dns(resolvers=["192.0.2.53", "192.0.2.53:5353", "[2001:db8::53]:53", "2001:db8::53"]))
    with pytest.raises(SettingsError, match="ns.example"):
        Resolver(Dns(resolvers=["ns.example:53"]))


async def test_a_look_up_that_nobody_waits_for_any_more_leaves_nothing_open() -> None:
    """Cancelled at whatever moment, it ends by itself, and its socket is closed."""
    async with DnsStub(ZONE) as stub:
        before = _sockets()
        for steps in range(12):
            asked = asyncio.create_task(resolver_for(stub).mx("acme.test"))
            for _ in range(steps):
                await asyncio.sleep(0)
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)
        await eventually(lambda: _sockets() == before)


def _sockets() -> int:
    """Open sockets of this process."""
    links = [descriptor for descriptor in Path("/proc/self/fd").iterdir() if descriptor.is_symlink()]
    return sum(link.readlink().name.startswith("socket:") for link in links)
