"""When an endpoint is probed next: a pure function of what its probes have shown.

Every ``interval`` while it is up; every ``down_interval`` from the first failure until it is proven up again, start to
start; every quarter of a minute while it answers 4xx or refuses us. Thousands of endpoints are spread over the
interval by a phase that is each one's own, so that they don't all speak in the same instant.
"""

from __future__ import annotations

import zlib

from relay.appliances.model import Primary
from relay.settings import Watch
from relay.watch.health import Seen
from relay.watch.probe import Said

PATIENCE = 15.0
"""Seconds between probes of an endpoint that answers 4xx or 5xx, or of which nothing could be learnt."""


def connect_timeout(seen: Seen, settings: Watch) -> float:
    """Seconds to connect: while it fails, a connect that hangs is abandoned when the next probe is due."""
    return min(settings.connect_timeout, settings.down_interval) if seen.failures else settings.connect_timeout


def next_probe(seen: Seen, said: Said, started: float, ended: float, settings: Watch, phase: float) -> float:
    """When the next probe starts, on the clock of ``started`` and ``ended``, which are those of the last, answered
    ``said``; never before ``ended``. ``phase``: 0 up to 1."""
    if said in (Said.TEMPORARY, Said.REFUSED, Said.NOTHING):
        gap = min(PATIENCE, settings.interval)
    elif seen.failures or seen.successes < settings.up_after:
        gap = min(settings.down_interval, settings.interval)
    else:
        # The next moment of the endpoint's own phase, but not right away.
        gap = (phase * settings.interval - started) % settings.interval
        if gap < settings.interval / 4:
            gap += settings.interval
    return max(started + gap, ended)


def phase_of(primary: Primary) -> float:
    """The share of the interval at which this endpoint has its turn; the same at each start."""
    return zlib.crc32(str(primary).encode()) / 2**32
