"""What is let in at a time."""

from __future__ import annotations

import pytest

from relay.edge.limits import Connections, Memory
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


def test_memory_is_bounded_and_given_back() -> None:
    """What finds no room is refused for now and counted nowhere."""
    memory = Memory(100)
    memory.take(60)
    with pytest.raises(Deferred, match=r"452 4\.3\.1"):
        memory.take(41)
    memory.take(40)
    memory.take(-100)
    assert memory.used == 0
