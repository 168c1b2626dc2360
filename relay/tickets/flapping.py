"""When an appliance flaps. Pure; continuity knows the facts, asks here, and hands the answer to the desk as
``Wanted.keep_open_until``, so that one ticket tells the whole story instead of many telling a bit each."""

from __future__ import annotations

from collections.abc import Sequence

TIMES = 3
WITHIN = 3600.0
QUIET = 1800.0


def keep_open_until(down_times: Sequence[float], quiet_since: float) -> float | None:
    """When the ticket of a flapping appliance may be resolved; None where it doesn't flap.

    ``down_times``: when health became down, in any order, at least the last three. ``quiet_since``: when it last
    left ``down``. Down three times within an hour is flapping, until 30 quiet minutes have passed.
    """
    latest = sorted(down_times)[-TIMES:]
    if len(latest) < TIMES or latest[-1] - latest[0] > WITHIN:
        return None
    return quiet_since + QUIET
