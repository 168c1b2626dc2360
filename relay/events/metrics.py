"""What every event is said with: the log, and counters and gauges on a registry of this program's own."""

from __future__ import annotations

from collections.abc import Sequence

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector

FEW_DOMAINS = 5
"""Domains that a line names at most."""

registry = CollectorRegistry()
ProcessCollector(registry=registry)

log: structlog.stdlib.BoundLogger = structlog.get_logger()


def counter(name: str, text: str, *labels: str) -> Counter:
    return Counter(f"relay_{name}", text, labels, registry=registry)


def gauge(name: str, text: str, *labels: str) -> Gauge:
    return Gauge(f"relay_{name}", text, labels, registry=registry)


def few(names: Sequence[str]) -> str:
    return ", ".join(names[:FEW_DOMAINS]) + (", …" if len(names) > FEW_DOMAINS else "")


faults = counter("faults_total", "Unexpected errors, by where they happened", "where")
