"""What is let in at a time."""

from __future__ import annotations

import pytest

from relay.edge.limits import Connections, DomainSessions, Memory
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
    sessions = DomainSessions(0, 1000)
    assert _sessions(sessions, "one.example") == 500
    assert _sessions(sessions, "two.example") == 250
    sessions.leave("one.example")
    sessions.leave("one.example")
    assert _sessions(sessions, "three.example") == 126
    assert sessions.enter("four.example", alone=False)


def test_a_domain_may_always_have_one_session() -> None:
    """Also where nothing is left; and a domain that is alone may have all."""
    sessions = DomainSessions(0, 2)
    assert _sessions(sessions, "one.example") == 1
    assert _sessions(sessions, "two.example") == 1
    assert _sessions(sessions, "three.example") == 1
    for name in ("one", "two", "three"):
        sessions.leave(f"{name}.example")
    assert not sessions.domains
    assert [sessions.enter("one.example", alone=True) for _ in range(5)] == [True] * 5


def test_a_limit_that_is_set_is_the_limit() -> None:
    """Whatever is left, and whether or not the domain is alone."""
    sessions = DomainSessions(3, 1000)
    assert _sessions(sessions, "one.example") == 3
    assert not sessions.enter("one.example", alone=True)
    assert _sessions(sessions, "two.example") == 3


def _sessions(sessions: DomainSessions, domain: str) -> int:
    """How many a domain gets that asks for as many as it can."""
    count = 0
    while sessions.enter(domain, alone=False):
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


def test_a_domain_leaves_memory_for_others() -> None:
    """However much comes for one, or for two; what is given back may be had again."""
    memory = Memory(800)
    memory.take(700, ["loud"])
    with pytest.raises(Deferred, match=r"452 4\.3\.1"):
        memory.take(1, ["loud"])
    memory.take(87, ["quiet"])
    with pytest.raises(Deferred, match=r"452 4\.3\.1"):
        memory.take(1, ["quiet", "loud"])
    memory.take(-700, ["loud"])
    memory.take(1, ["loud", "quiet"])
    memory.take(-1, ["loud", "quiet"])
    memory.take(-87, ["quiet"])
    assert (memory.used, dict(memory._held)) == (0, {})
