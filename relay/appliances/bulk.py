"""Many domains at once: looked up, added and changed by a few statements, inside the caller's transaction.

What makes a domain a right one is relay.appliances.store's business, and the caller's to have asked.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, bindparam, insert, select, update

from relay.appliances import store
from relay.appliances.facts import raise_version
from relay.appliances.model import Appliance, Domain
from relay.appliances.tables import appliances, domains

ROWS = 500
"""Names that one transaction may be about: it holds others up for some 50 ms."""


def find(connection: Connection, names: Collection[str]) -> dict[str, Domain]:
    """Those of these names that there are; names as they are kept, ``ROWS`` at most."""
    query = select(domains).where(domains.c.name.in_(sorted(names)))
    found = [store.domain_of_row(row) for row in connection.execute(query).mappings()]
    return {domain.name: domain for domain in found}


def find_owners(connection: Connection, names: Collection[str]) -> dict[str, Appliance]:
    """The appliances of these names that there are; ``ROWS`` at most."""
    query = select(appliances).where(appliances.c.name.in_(sorted(names)))
    found = [store.appliance_of_row(row) for row in connection.execute(query).mappings()]
    return {appliance.name: appliance for appliance in found}


def write(connection: Connection, wanted: Sequence[Domain]) -> None:
    """Add those without a number, and have the others be so."""
    rows = [(domain.id, store.domain_row(domain)) for domain in wanted]
    if added := [row for number, row in rows if not number]:
        connection.execute(insert(domains), added)
    if changed := [{**row, "number": number} for number, row in rows if number]:
        connection.execute(update(domains).where(domains.c.id == bindparam("number")), changed)
    if rows:
        raise_version(connection, directory=True)
