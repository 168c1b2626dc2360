"""What is let in at a time."""

from __future__ import annotations

import pytest

from relay.edge.limits import Connections, Memory, Shares
from relay.errors import Deferred


def test_connections_are_counted_in_all_and_for_each_client() -> None:
    """One client can't have all of them, and what ends makes room again."""
    connections = Connections(3, 2)
    connections.admit("192.0.2.1")
    connections.admit("192.0.2.1")
    with pytest.raises(Deferred, match=r"421 4\.7\.0"):
        connections.admit("192.0.2.1")
    connections.admit("192.0.2.2")
    with pytest.raises(Deferred, match=r"421 4\.3\.2"):
        connections.admit("192.0.2.3")
    connections.release("192.0.2.1")
    connections.admit("192.0.2.3")
    assert len(connections) == 3
    for ip in ("192.0.2.1", "192.0.2.2", "192.0.2.3"):
        connections.release(ip)
    assert not connections.clients


def test_an_ipv6_network_is_one_client() -> None:
    """A host has 64 bits of addresses to itself."""
    connections = Connections(10, 2)
    connections.admit("2001:db8::1")
    connections.admit("2001:db8::ffff:1")
    with pytest.raises(Deferred):
        connections.admit("2001:db8::2")
    connections.admit("2001:db8:0:1::1")


def test_a_flooded_domain_leaves_room_for_the_others() -> None:
    """However many are flooded, each gets as much as is left for all that aren't."""
    shares = Shares(0, 1000)
    assert _sessions(shares, "one.example") == 500
    assert _sessions(shares, "two.example") == 250
    shares.leave("one.example")
    shares.leave("one.example")
    assert _sessions(shares, "three.example") == 126
    assert shares.enter("four.example", alone=False)


def test_a_domain_may_always_have_one_session() -> None:
    """Also where nothing is left; and a domain that is alone may have all."""
    shares = Shares(0, 2)
    assert _sessions(shares, "one.example") == 1
    assert _sessions(shares, "two.example") == 1
    assert _sessions(shares, "three.example") == 1
    for name in ("one", "two", "three"):
        shares.leave(f"{name}.example")
    assert not shares.domains
    assert [shares.enter("one.example", alone=True) for _ in range(5)] == [True] * 5


def test_a_limit_that_is_set_is_the_limit() -> None:
    """Whatever is left, and whether or not the domain is alone."""
    shares = Shares(3, 1000)
    assert _sessions(shares, "one.example") == 3
    assert not shares.enter("one.example", alone=True)
    assert _sessions(shares, "two.example") == 3


def _sessions(shares: Shares, domain: str) -> int:
    """How many a domain gets that asks for as many as it can."""
    count = 0
    while shares.enter(domain, alone=False):
        count += 1
    return count


def test_memory_is_bounded_and_given_back() -> None:
    """What finds no room is refused for now and counted nowhere."""
    memory = Memory(100)
    memory.take(60)
    with pytest.raises(Deferred, match=r"452 4\.3\.1"):
        memory.take(41)
    memory.take(40)
    memory.take(-100)
    assert memory.used == 0
