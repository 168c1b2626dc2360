"""How a node looks to an operator, whose clock is the machine's."""

from __future__ import annotations

import pytest

from relay.cluster.nodes import NodeRow

WALL = 10_000.0


@pytest.mark.parametrize("drift", [0.0, 3600.0, -3600.0])
def test_a_clock_that_was_set_makes_no_node_silent(drift: float) -> None:
    """A node's heartbeat is by its own time; by how much the wall clock has left that, its row says."""

    def node(heard: float) -> NodeRow:
        return NodeRow("one", "one.test", "1.0", (), 0.0, WALL - heard - drift, None, None, drift, "")

    assert node(3.0).state(WALL) == "running"
    assert node(11.0).state(WALL) == "silent"
