"""The recipients that operators list for a domain, in the database; functions work inside the caller's transaction.

An address is kept as the part before its @, in lower case: primaries tell no case apart there. What a person got
wrong is :class:`relay.errors.Refused` in one plain line.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, delete, func, insert, select, update

from relay.appliances.facts import raise_version
from relay.appliances.model import Domain, RecipientPolicy
from relay.errors import Refused
from relay.mail import domain_of
from relay.recipients import remembered
from relay.recipients.tables import recipients_list, recipients_version


def add(connection: Connection, domain: Domain, addresses: Iterable[str], now: float) -> int:
    """List more recipients (``info`` or ``info@gold.example``); how many of them are new. Raises Refused."""
    wanted = {_local(domain, address) for address in addresses}
    new = wanted - set(list_all(connection, domain))
    if new:
        rows = [{"domain_id": domain.id, "local": local, "added_at": now} for local in sorted(new)]
        connection.execute(insert(recipients_list), rows)
        _changed(connection)
    return len(new)


def remove(connection: Connection, domain: Domain, addresses: Iterable[str]) -> int:
    """Take recipients off the list; how many were on it. Raises Refused."""
    removed = 0
    for local in {_local(domain, address) for address in addresses}:
        same = (recipients_list.c.domain_id == domain.id) & (recipients_list.c.local == local)
        removed += connection.execute(delete(recipients_list).where(same)).rowcount
    if removed:
        _changed(connection)
    return removed


def list_all(connection: Connection, domain: Domain) -> list[str]:
    """The listed parts before the @, in order."""
    query = select(recipients_list.c.local).where(recipients_list.c.domain_id == domain.id)
    return list(connection.execute(query.order_by(recipients_list.c.local)).scalars())


def provable(connection: Connection, domain: Domain) -> tuple[bool, str]:
    """Whether the domain's recipient policy can be carried out, and what shows it: the ``recipients`` proof."""
    if domain.recipients is RecipientPolicy.LEARNED:
        return remembered.provable(connection, domain)
    if domain.recipients is not RecipientPolicy.LISTED:
        return True, f"{domain.name}: every recipient is taken"
    query = select(func.count()).select_from(recipients_list).where(recipients_list.c.domain_id == domain.id)
    count = connection.execute(query).scalar_one()
    if not count:
        return False, f"{domain.name}: only listed recipients are taken, and the list is empty"
    return True, f"{domain.name}: {count} {'recipient is' if count == 1 else 'recipients are'} listed"


def version(connection: Connection) -> int:
    return int(connection.execute(select(recipients_version.c.version)).scalar_one())


def load(connection: Connection, known: int) -> tuple[int, dict[int, set[str]]] | None:
    """(version, the lists by domain id); None where the version is still ``known``."""
    now = version(connection)
    if now == known:
        return None
    lists: dict[int, set[str]] = {}
    for domain_id, local in connection.execute(select(recipients_list.c.domain_id, recipients_list.c.local)):
        lists.setdefault(domain_id, set()).add(local)
    return now, lists


def _changed(connection: Connection) -> None:
    """Every node reloads its lists: it looks at their version when the facts have changed."""
    connection.execute(update(recipients_version).values(version=recipients_version.c.version + 1))
    raise_version(connection)


def _local(domain: Domain, address: str) -> str:
    local, at, _ = address.strip().rpartition("@")
    if not at:
        local = address.strip()
    elif domain_of(address.strip()) != domain.name:
        raise Refused(f"{address.strip()!r} is not an address at {domain.name}")
    if not local or any(character.isspace() or character in "<>,;" for character in local):
        raise Refused(f"{address.strip()!r} should be an address such as info@{domain.name}")
    return local.lower()
