"""The outage: what is seen of primaries, and what follows from it."""

from __future__ import annotations

from relay.events.metrics import counter, gauge, log

_probes = counter("probes_total", "Probes of primaries", "result")
_health = gauge("appliance_health", "1 for the present health of an appliance", "appliance", "health")


def probed(result: str) -> None:
    _probes.labels(result).inc()


def health_changed(appliance: str, before: str, after: str, reason: str) -> None:
    _health.labels(appliance, before).set(0)
    _health.labels(appliance, after).set(1)
    log.warning("health changed", appliance=appliance, before=before, after=after, reason=reason)


def isolated(reason: str) -> None:
    log.error("this node may be cut off itself: nothing is called down", reason=reason)


def reached_elsewhere(appliance: str, node: str, said: str, to: str) -> None:
    """Nodes disagree: it isn't down, only out of the sight of ``node``, and ``to`` works for it from now on."""
    log.warning("reached from another node only", appliance=appliance, node=node, said=said, to=to)


def reached_again(appliance_id: int, node: str) -> None:
    log.info("reached from this node again", appliance_id=appliance_id, node=node)


def isolation_ended() -> None:
    log.info("this node is connected again")


def continuity_changed(appliance: str, before: str, after: str, reason: str) -> None:
    log.warning("continuity changed", appliance=appliance, before=before, after=after, reason=reason)


def proof_failed(appliance: str, proof: str, evidence: str) -> None:
    log.warning("proof failed", appliance=appliance, proof=proof, evidence=evidence)
