"""How often the edge said no, read by operators: what relay.edge.tally has counted, summed over the nodes."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, func, select

from relay.edge.tables import refusals

HOUR = 3600
SHOWN_HOURS = 24
NAMED = 500
"""Domains that are asked for by name; for more all are read."""


def refused(connection: Connection, now: float, domains: Collection[str] | None = None) -> dict[str, dict[str, int]]:
    """Refusals of the last 24 hours (whole ones, and the present one) by domain and reason, the most frequent first;
    of these ``domains``, or of all, where those before any domain was known have an empty one."""
    total = func.sum(refusals.c.count)
    query = (
        select(refusals.c.domain, refusals.c.reason, total)
        .where(refusals.c.hour > int(now // HOUR) - SHOWN_HOURS)
        .group_by(refusals.c.domain, refusals.c.reason)
        .order_by(total.desc(), refusals.c.reason)
    )
    if domains is not None and len(domains) <= NAMED:
        query = query.where(refusals.c.domain.in_(domains))
    found: dict[str, dict[str, int]] = {}
    for domain, reason, count in connection.execute(query):
        found.setdefault(domain, {})[reason] = int(count)
    return found
