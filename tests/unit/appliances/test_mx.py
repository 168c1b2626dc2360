"""Where an appliance is reached."""

from __future__ import annotations

import dataclasses

import pytest

from relay.appliances.model import Activation, Appliance, Primary
from relay.appliances.mx import Endpoints, Route
from relay.clock import Clock
from relay.dns import Resolver
from relay.errors import SettingsError
from relay.settings import Dns, Node
from tests.support.dns_stub import DnsStub

BY_MX = Appliance(1, "acme", "Acme", (), "always", "UTC", "", Activation.OFF_HOURS, (), False, (), 0.0)
NODE = Node(name="a", hostname="relay.test", mx_names=["mx2.relay.test"], mx_addresses=["198.51.100.2"])
HOSTS = {
    "one.test A": ["192.0.2.1"],
    "two.test A": ["192.0.2.2"],
    "alias.test A": ["198.51.100.2"],
    "mx2.relay.test A": ["198.51.100.2"],
    "acme.test A": ["192.0.2.9"],
}
ONE, TWO = Primary("one.test"), Primary("two.test")


async def route(*mx: str, hosts: dict[str, list[str]] = HOSTS) -> Route:
    records = {**hosts, "acme.test MX": list(mx)} if mx else hosts
    async with DnsStub(records) as stub:
        resolver = Resolver(Dns(resolvers=[stub.address], timeout=1.0))
        return await Endpoints(resolver, NODE).of(BY_MX, "acme.test")


async def test_fixed_primaries_need_no_dns() -> None:
    """What the operator names is what is used, in that order."""
    resolver = Resolver(Dns(resolvers=["127.0.0.1:9"], timeout=0.2))
    fixed = dataclasses.replace(BY_MX, primaries=(TWO, ONE))
    assert await Endpoints(resolver, NODE).of(fixed, "acme.test") == Route((TWO, ONE))


@pytest.mark.parametrize("us", ["mx2.relay.test", "relay.test", "alias.test"])
async def test_only_those_strictly_preferred_to_us_are_used(us: str) -> None:
    """By mx_names, our hostname or mx_addresses we know ourselves; equals and those behind us are left out."""
    found = await route("20 two.test.", "10 one.test.", f"30 {us}.", "30 equal.test.", "40 behind.test.")
    assert found.primaries == (ONE, TWO)


async def test_all_are_used_where_we_are_not_in_the_set() -> None:
    """Without us in it the whole MX set is the customer's."""
    assert await route("20 two.test.", "10 one.test.") == Route((ONE, TWO), preferences=(10, 20))


async def test_none_left_says_why() -> None:
    """Where we are the most preferred, mail waits, and the reason names the MX set."""
    found = await route("10 mx2.relay.test.", "20 one.test.")
    assert found == Route((), "no MX of acme.test is strictly preferred to us: 10 mx2.relay.test, 20 one.test")


async def test_without_mx_the_domain_itself_is_the_host() -> None:
    """The implicit MX of RFC 5321 5.1, unless that is us."""
    assert await route() == Route((Primary("acme.test"),), preferences=(0,))
    ours = await route(hosts={"acme.test A": ["198.51.100.2"]})
    assert ours.primaries == ()
    assert not ours.unknown


async def test_a_null_mx_takes_no_mail() -> None:
    """RFC 7505."""
    found = await route("0 .")
    assert found.primaries == ()
    assert "null MX" in found.problem


async def test_a_dead_resolver_leaves_what_was_known() -> None:
    """For a day the last answer serves; without one the route is unknown, which is nobody's fault."""
    now = [0.0]
    async with DnsStub({**HOSTS, "acme.test MX": ["10 one.test."]}) as stub:
        clock = Clock(wall=lambda: 0.0, monotonic=lambda: now[0])
        endpoints = Endpoints(Resolver(Dns(resolvers=[stub.address], timeout=1.0), clock), NODE)
        assert await endpoints.of(BY_MX, "acme.test") == Route((ONE,), preferences=(10,))
        assert await endpoints.addresses(ONE) == ["192.0.2.1"]
        stub.servfail = {"acme.test", "one.test", "other.test"}
        now[0] = 80000.0
        assert await endpoints.of(BY_MX, "acme.test") == Route((ONE,), preferences=(10,))
        assert await endpoints.addresses(ONE) == ["192.0.2.1"]
        other = await endpoints.of(BY_MX, "other.test")
        assert other.unknown
        assert "the DNS gives no answer" in other.problem


@pytest.mark.parametrize(
    ("mx", "expected"),
    [
        (["10 one.test.", "20 mx2.relay.test."], True),
        (["10 one.test.", "20 alias.test."], True),
        (["10 one.test.", "20 two.test."], False),
        (["0 ."], False),
        ([], False),
        (["10 one.test.", "20 broken.test."], None),
        (["10 relay.test.", "20 broken.test."], True),
    ],
)
async def test_whether_the_dns_sends_mail_here(mx: list[str], expected: bool | None) -> None:
    """By name or address; what it doesn't answer is unknown, never no."""
    async with DnsStub({**HOSTS, "acme.test MX": mx}) as stub:
        stub.servfail = {"broken.test"}
        endpoints = Endpoints(Resolver(Dns(resolvers=[stub.address], timeout=1.0)), NODE)
        assert await endpoints.names_us("acme.test") is expected
        stub.servfail = {"silent.test"}
        assert await endpoints.names_us("silent.test") is None


def test_an_address_of_ours_that_is_none_is_refused() -> None:
    """[node] mx_addresses takes IP addresses."""
    with pytest.raises(SettingsError, match="mx_addresses"):
        Endpoints(Resolver(Dns()), Node(name="a", mx_addresses=["mx2.relay.test"]))


async def test_hosts_of_one_preference_are_equals() -> None:
    """They share the mail; the others wait until these fail. Fixed primaries are preferred in their order."""
    three = {**HOSTS, "three.test A": ["192.0.2.3"]}
    found = await route("20 two.test.", "10 three.test.", "10 one.test.", hosts=three)
    assert found.tiers == ((ONE, Primary("three.test")), (TWO,))
    assert Route((TWO, ONE)).tiers == ((TWO,), (ONE,))
