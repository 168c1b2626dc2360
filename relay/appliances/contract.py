"""The end of a contract: when a domain that isn't served any more may be refused for good. Pure, and its record.

While an MX record still names us, its mail comes here, and a refusal for good would bounce it: it is put off (451).
Only once the DNS has said for 14 days that nobody is sent here is the rest refused (550). A DNS that doesn't answer
says no such thing, nor do days on which nobody looked. One room writes the record (relay.watch), all read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from relay.appliances.facts import raise_version
from relay.appliances.model import Domain
from relay.appliances.tables import domains, naming

WITHOUT = 14 * 86400.0
"""Seconds without an MX that names us after which mail is refused for good."""
EVERY = 6 * 3600.0
"""Seconds between two looks at the MX set of a domain whose contract is over."""
UNSEEN = 2 * 86400.0
"""Seconds without a look after which nothing is known of the time between."""


@dataclass(frozen=True, slots=True)
class Naming:
    """``named_at``: the last time that an MX named us, or that it couldn't be known; ``looked_at``: the last look."""

    named_at: float
    looked_at: float


def observe(before: Naming | None, named: bool | None, now: float) -> Naming:
    """What is known after a look; ``named``: whether an MX names us, None where the DNS gave no answer."""
    if named is False and before is not None and now - before.looked_at <= UNSEEN:
        return Naming(before.named_at, now)
    return Naming(now, now)


def due(domain: Domain, known: Naming | None, now: float) -> bool:
    """Whether it is time for another look: only for a domain whose contract is over."""
    return not domain.contract_runs(now) and (known is None or now - known.looked_at >= EVERY)


def final_at(domain: Domain, known: Naming | None) -> float | None:
    """When its mail will be refused for good, if no MX names us until then; None: not while nobody has looked."""
    if domain.ends_at is None or known is None:
        return None
    return max(domain.ends_at, known.named_at) + WITHOUT


def gone_for_good(domain: Domain, known: Naming | None, now: float) -> bool:
    """Whether a domain is refused for good at ``now``: by what was seen, and as long as somebody looks."""
    at = final_at(domain, known)
    return known is not None and at is not None and known.looked_at >= at and now - known.looked_at <= UNSEEN


def set_namings(connection: Connection, found: Mapping[int, Naming]) -> None:
    """Record what was seen, by domain id; watch alone does. What is no longer there is left out."""
    there = set(connection.execute(select(domains.c.id).where(domains.c.id.in_(found))).scalars())
    rows = [
        {"domain_id": number, "named_at": one.named_at, "looked_at": one.looked_at}
        for number, one in found.items()
        if number in there
    ]
    if not rows:
        return
    connection.execute(delete(naming).where(naming.c.domain_id.in_(there)))
    connection.execute(insert(naming), rows)
    raise_version(connection)


def all_namings(connection: Connection) -> dict[int, Naming]:
    """By domain id."""
    return {row.domain_id: Naming(row.named_at, row.looked_at) for row in connection.execute(select(naming))}
