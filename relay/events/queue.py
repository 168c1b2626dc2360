"""Mail waits: commits of the writer, and how much there is."""

from __future__ import annotations

from prometheus_client import Histogram

from relay.events.metrics import faults, gauge, log, registry

_batch = Histogram("relay_commit_seconds", "Time of one commit of the writer", registry=registry)
_batch_size = Histogram(
    "relay_commit_commands", "Commands in one commit", registry=registry, buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256)
)
_queue_waits = gauge("queue_recipients", "Recipients waiting", "domain", "state")


def committed(seconds: float, commands: int) -> None:
    _batch.observe(seconds)
    _batch_size.observe(commands)


def commit_failed(error: BaseException, commands: int) -> None:
    faults.labels("writer").inc()
    log.error("commit failed", error=f"{type(error).__name__}: {error}", commands=commands)


def writer_ended(error: BaseException) -> None:
    faults.labels("writer").inc()
    log.critical("the writer ended, the node must end", error=f"{type(error).__name__}: {error}")


def queue_depth(domain: str, state: str, recipients: int) -> None:
    _queue_waits.labels(domain, state).set(recipients)
