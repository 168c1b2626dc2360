"""How hard a drain presses at the moment, and what keeps it from pressing harder: for those who watch it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from relay.delivery.host import Host


@dataclass(frozen=True, slots=True)
class Pace:
    """``canary``: one message at a time. ``connections``: there are now, of ``width`` that the ramps allow and
    ``limit`` that the settings do. ``max_rate``: the operator's ceiling in messages a second. ``why``: in words what
    was lowered because of a primary, and why; empty where nothing was."""

    canary: bool
    connections: int
    width: int
    limit: int
    max_rate: float | None
    why: str


def pace_of(hosts: Collection[Host], *, canary: bool, limit: int, max_rate: float | None) -> Pace:
    """Of all hosts together."""
    width = 1 if canary else min(limit, sum(host.ramp.width for host in hosts) or 1)
    lowered = (
        f"{host.primary}: {host.ramp.width} of {limit} connections, because {host.ramp.why}"
        for host in hosts
        if host.ramp.why
    )
    return Pace(canary, sum(host.connections for host in hosts), width, limit, max_rate, "; ".join(lowered))
