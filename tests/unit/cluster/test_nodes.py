"""How a node looks to an operator, whose clock is the machine's."""

from __future__ import annotations

import pytest

from relay.cluster.nodes import NodeRow

WALL = 10_000.0


@pytest.mark.parametrize("drift", [0.0, 3600.0, -3600.0])
def test_a_clock_that_was_set_makes_no_node_dead(drift: float) -> None:
    """A node's heartbeat is by its own time; by how much the wall clock has left that, its row says."""

    def node(heard: float) -> NodeRow:
        return NodeRow("one", "one.test", "1.0", (), 0.0, WALL - heard - drift, None, None, drift, "")

    assert node(3.0).state(WALL) == "live"
    assert node(11.0).state(WALL) == "dead"


@pytest.mark.parametrize("skew", [None, 7200.0, -7200.0])
def test_a_node_is_dead_since_it_was_last_heard_of(skew: float | None) -> None:
    """Whatever time it counted with."""
    silent = None if skew is None else 900.0
    heartbeat_at = WALL - 900.0 + (skew or 0.0)
    row = NodeRow("one", "one.test", "1.0", (), 0.0, heartbeat_at, None, None, 0.0, "", skew=skew, silent=silent)
    assert (row.state(WALL), row.since(WALL)) == ("dead", WALL - 900.0)


def test_a_node_that_drains_is_drained_once_it_owns_nothing() -> None:
    """And a stopped or dead one is that, whatever was asked of it."""

    def node(owned: set[int], heard: float = 0.0, stopped_at: float | None = None) -> NodeRow:
        at = WALL - heard
        return NodeRow("one", "one.test", "1.0", (), 0.0, at, stopped_at, None, 0.0, "", 1.0, frozenset(owned))

    assert node({-1}).state(WALL) == "draining"
    assert node(set()).state(WALL) == "drained"
    assert node(set(), heard=20.0).state(WALL) == "dead"
    assert node(set(), stopped_at=5.0).state(WALL) == "stopped"


def test_what_a_node_does_alone_is_no_appliance() -> None:
    """The outbox and the postmaster's mail are duties."""
    one = NodeRow("one", "one.test", "1.0", (), 0.0, WALL, None, None, 0.0, "", None, frozenset({-1, 0, 7, 9}))
    assert (one.appliances, one.duties) == (2, ["outbox", "postmaster"])
