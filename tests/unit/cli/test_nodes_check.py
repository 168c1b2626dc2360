"""What doctor says of the nodes."""

from __future__ import annotations

from typing import Any

import pytest

from cli.nodes_check import check, own_clock
from relay.cluster.nodes import NodeRow

NOW = 2_000_000.0
DAY = 86400.0


def node(name: str = "a", **values: Any) -> NodeRow:
    about: dict[str, Any] = {"version": "1.0", "started_at": NOW - 2 * DAY, "heartbeat_at": NOW, "stopped_at": None}
    about |= {"drift": 0.0, "isolated": "", "settles_at": None, **values}
    return NodeRow(name, f"{name}.test", listeners=(), **about)


def test_a_sound_cluster_is_not_talked_about() -> None:
    """Neither are nodes that were stopped cleanly, nor a drain of today."""
    assert list(check([node(), node("b"), node("c", stopped_at=1.0), node("d", drain_at=NOW - 60)], NOW)) == []


@pytest.mark.parametrize(
    ("row", "result", "evidence", "remedy"),
    [
        (
            node(heartbeat_at=NOW - 120, owned=frozenset({-1, 4, 5})),
            "warning",
            "not heard of for 2m, and it didn't stop cleanly, and still owns 2 appliances",
            "start it again, or 'relayctl node remove a'",
        ),
        (
            node(drain_at=NOW - 2 * DAY),
            "warning",
            "drained since 1970-01-22 03:33:20Z: it takes no mail",
            "'relayctl node resume a', or stop it and 'relayctl node remove a'",
        ),
        (
            node(drift=90.0, heartbeat_at=NOW - 90),
            "warning",
            "its wall clock was set by +90 s while it ran",
            "mend NTP there, then restart the node",
        ),
    ],
)
def test_what_is_wrong_with_one(row: NodeRow, result: str, evidence: str, remedy: str) -> None:
    """And what to do about it."""
    (finding,) = check([row], NOW)
    assert (finding.about, finding.result, finding.evidence, finding.remedy) == ("a", result, evidence, remedy)


@pytest.mark.parametrize("settles_at", [None, NOW + 60])
@pytest.mark.parametrize(
    ("skew", "drift", "advice"),
    [
        (-7200.0, 7200.0, ["restart the node at a quiet time"]),
        (0.0, 90.0, ["mend NTP there, then restart the node"]),
        (0.0, 0.0, []),
    ],
)
def test_one_clock_gets_one_advice(skew: float, drift: float, advice: list[str], settles_at: float | None) -> None:
    """A clock that is right now is never to be mended, whatever the node was started by."""
    row = node(skew=skew, silent=0.0, drift=drift, settles_at=settles_at)
    said = [finding.remedy for finding in (*check([row], NOW), *own_clock(row, NOW)) if finding.remedy]
    assert said == (advice or (["check the machine's clock"] if settles_at else []))


@pytest.mark.parametrize(("age", "result"), [(60.0, "ok"), (2 * DAY, "warning")])
def test_versions_that_differ_are_forgotten_at_some_time(age: float, result: str) -> None:
    """During an upgrade that is as it should be; a day after the last start it no longer is."""
    (finding,) = check([node(), node("b", version="1.1", started_at=NOW - age)], NOW)
    assert (finding.about, finding.check, finding.result) == ("cluster", "versions", result)
    assert finding.evidence == "a runs 1.0; b runs 1.1"
