"""How drains get on, and when mail would expire, as ``status`` and ``failover history`` tell it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from cli.render import at, clock_time, span
from relay.appliances import facts, progress
from relay.appliances.facts import Health, Outage
from relay.appliances.progress import Handback, Progress
from relay.cluster.nodes import NodeRow
from relay.queue import backlog

SOON = 72 * 3600.0
"""Seconds before the first message expires from which on that is said in any case."""


@dataclass(frozen=True, slots=True)
class Draining:
    """A drain that goes on. ``left``: recipients that can be handed over now; ``deferred``: those that the primary has
    put off, which are tried again later."""

    progress: Progress
    left: int
    deferred: int

    def facts(self) -> dict[str, Any]:
        now = self.progress
        seconds = now.seconds_left(self.left)
        return {
            "began_at": at(now.began_at),
            "phase": "stalled" if now.stalled else str(now.phase),
            "tried": now.tried,
            "left": self.left,
            "deferred": self.deferred,
            "recipients_per_second": round(now.rate, 2),
            "left_seconds": None if seconds is None else round(seconds),
            "why": now.why,
        }

    def told(self) -> str:
        later = f"; {progress.number(self.deferred)} put off by the primary, tried again later" if self.deferred else ""
        return self.progress.told(self.left) + later


def draining(connection: Connection, nodes: Iterable[NodeRow], now: float) -> dict[int, Draining]:
    """The drains that go on, by appliance; what a node wrote that has died since, or started again, doesn't count, nor
    what was written of a primary that is gone again."""
    running = {node.name: node for node in nodes if node.runs(now)}
    health = facts.all_health(connection)
    found = {}
    for number, present in progress.going_on(connection).items():
        node = running.get(present.node)
        if node is None or health[number].state is Health.DOWN:
            continue
        if present.began_at >= node.started_at and present.fresh(now - node.drift):
            found[number] = present
    counts = backlog.handable(connection, found, now)
    return {number: Draining(present, *counts.get(number, (0, 0))) for number, present in found.items()}


def deadline(expires_at: float | None, now: float) -> str:
    """When the first of what is queued would expire; empty where nothing is."""
    if expires_at is None:
        return ""
    return f"first message expires in {span(expires_at - now)}" if expires_at > now else "the first message expires now"


def worth_saying(expires_at: float | None, now: float, drain: Draining | None, *, up: bool) -> bool:
    """Whether a deadline belongs into a table: mail doesn't get away, or there is little time left."""
    if expires_at is None:
        return False
    moving = drain is not None and drain.progress.seconds_left(drain.left) is not None
    return not (up or moving) or expires_at - now < SOON


def outage_facts(
    outage: Outage, names: Mapping[int, str], handback: Handback, drain: Draining | None
) -> dict[str, Any]:
    """An outage for scripts; ``names``: of appliances."""
    drained = outage.drained_at is not None and outage.returned_at is not None
    return {
        "id": outage.id,
        "appliance": names.get(outage.appliance_id),
        "began_at": at(outage.began_at),
        "taken_over_at": at(outage.taken_over_at),
        "returned_at": at(outage.returned_at),
        "drained_at": at(outage.drained_at),
        "ended_at": at(outage.ended_at),
        "reason": outage.reason,
        "messages": handback.messages,
        "recipients": handback.recipients,
        "drain_seconds": round(handback.seconds, 1),
        "mean_recipients_per_second": round(handback.mean, 2),
        "peak_recipients_per_second": round(handback.peak, 2),
        "return_to_drained_seconds": round(outage.drained_at - outage.returned_at, 1)  # type: ignore[operator]
        if drained
        else None,
        "drain": drain.facts() if drain else None,
    }


def handed_back(outage: Outage, handback: Handback, drain: Draining | None) -> str:
    """The same in words: what was handed back, and what goes on."""
    over = f"handed back: {handback.told()}" if handback.recipients else ""
    going_on = f"now {drain.told()}" if drain is not None and outage.drained_at is None else ""
    return "; ".join(filter(None, (over, going_on)))


def expiry_detail(expires_at: float | None, now: float) -> str:
    return "" if expires_at is None else f"{clock_time(expires_at)}, in {span(max(0.0, expires_at - now))}"
