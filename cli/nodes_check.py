"""relayctl doctor: is the cluster as it should be? What is wrong between nodes, and what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cli.checked import Check
from cli.render import clock_time, plural, span
from relay.clock import DRIFT_LIMIT
from relay.cluster.nodes import NodeRow, NodeState

LONG = 86400.0
"""Seconds after which what is right during an upgrade looks forgotten."""


def check(found: Sequence[NodeRow], now: float) -> Iterator[Check]:
    """What is wrong with the nodes that share the database; nothing where there is one alone, and it is well."""
    for row in found:
        yield from _one(row, now)
    running = [row for row in found if row.runs(now)]
    if len({row.version for row in running}) > 1:
        for_long = all(now - row.started_at > LONG for row in running)
        evidence = "; ".join(f"{row.name} runs {row.version}" for row in running)
        remedy = "upgrade the others too: an upgrade that contracts the database waits for them" if for_long else ""
        yield Check("cluster", "versions", "warning" if for_long else "ok", evidence, remedy)


def _one(row: NodeRow, now: float) -> Iterator[Check]:
    state = row.state(now)
    if state is NodeState.DEAD:
        owned = f", and still owns {plural(row.appliances, 'appliance')}" if row.owned else ""
        yield Check(
            row.name,
            "node",
            "warning",
            f"not heard of for {span(row.heard_of(now))}, and it didn't stop cleanly{owned}",
            f"start it again, or 'relayctl node remove {row.name}'",
        )
    elif state in (NodeState.DRAINING, NodeState.DRAINED) and row.drain_at and now - row.drain_at > LONG:
        drained = state is NodeState.DRAINED
        meaning = "it takes no mail" if drained else f"it still owns {plural(row.appliances, 'appliance')}"
        yield Check(
            row.name,
            "node",
            "warning",
            f"{state} since {clock_time(row.drain_at)}: {meaning}",
            f"'relayctl node resume {row.name}', or stop it and 'relayctl node remove {row.name}'",
        )
    if row.runs(now) and (wrong := clock_words(row)):
        yield Check(row.name, "node clock", "warning", *wrong)


def left_behind(*, heirs: bool) -> str:
    """What becomes of that which a node owns that doesn't run; ``heirs``: whether any other does."""
    return "what it owned is being taken over" if heirs else "nobody runs who could take over what it owned"


def own_clock(row: NodeRow, now: float) -> Iterator[Check]:
    """How the clock of this machine is; what has to be done about a wrong one, ``check`` alone says."""
    wrong = clock_words(row)
    if row.settles_at is not None and now < row.settles_at:
        evidence = "the clock looked wrong at the start: for an hour nothing expires"
        yield Check(row.name, "clock", "warning", evidence, "" if wrong else "check the machine's clock")
    elif wrong is None:
        yield Check(row.name, "clock", "ok", f"within {abs(row.drift):.1f} s of the wall clock")


def clock_words(row: NodeRow) -> tuple[str, str] | None:
    """What is wrong with the time that a node counts with, or with its machine's clock, and what to do about it."""
    skew = row.skew or 0.0
    if abs(skew) <= DRIFT_LIMIT:
        if abs(row.drift) <= DRIFT_LIMIT:
            return None
        return f"its wall clock was set by {row.drift:+.0f} s while it ran", "mend NTP there, then restart the node"
    evidence = f"its time is {span(abs(skew))} {'ahead of' if skew > 0 else 'behind'} the database server's"
    if abs(skew + row.drift) <= DRIFT_LIMIT:
        return f"{evidence}, for it started by a wrong clock that is right now", "restart the node at a quiet time"
    return evidence, "see which clock is wrong, and mend NTP there; a node takes another time only when it starts"
