"""The recipients that are listed for a domain, in the database; functions work inside the caller's transaction.

Each source keeps a list of its own: what a directory says is replaced without a thought for what operators added, and
an address stands as long as one source lists it. What a person got wrong is :class:`relay.errors.Refused` in one
plain line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from sqlalchemy import ColumnElement, Connection, bindparam, delete, func, insert, select, update

from relay.appliances.facts import raise_version
from relay.appliances.model import Domain, RecipientPolicy
from relay.recipients import remembered
from relay.recipients.entry import EVERYONE, Entry, Kind, Source
from relay.recipients.tables import recipients_list, recipients_lists, recipients_version

COUNTS = (
    (recipients_list.c.domain_id == recipients_lists.c.domain_id)
    & (recipients_list.c.source == recipients_lists.c.source)
    & (recipients_list.c.edition == recipients_lists.c.edition)
)
"""Joins the rows of the editions that count."""
CATCH_ALL = (recipients_list.c.local == EVERYONE) & (recipients_list.c.kind == str(Kind.CATCH_ALL))
AT_ONCE = 500
"""Addresses that one query asks for."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a change did to the list of one source: ``total`` is how many entries it has now."""

    added: int
    removed: int
    total: int


@dataclass(frozen=True, slots=True)
class Listed:
    """An entry, who says so, and since when."""

    entry: Entry
    source: Source
    added_at: float


def add(
    connection: Connection, domain: Domain, addresses: Iterable[str], now: float, *, alias_of: str | None = None
) -> int:
    """Operators list more recipients (``info`` or ``info@gold.example``); how many of them are new. Raises Refused.

    What they had listed already becomes what is said now.
    """
    wanted = {entry.local: entry for entry in (Entry.parse(domain.name, one, alias_of) for one in addresses)}
    before = {one.entry.local: one.entry for one in find(connection, domain, wanted, Source.OPERATOR)}
    write(connection, domain, Source.OPERATOR, wanted, before, now)
    return len(wanted.keys() - before.keys())


def remove(connection: Connection, domain: Domain, addresses: Iterable[str]) -> int:
    """Take recipients off the operators' list; how many were on it. Raises Refused."""
    unwanted = {Entry.parse(domain.name, address).local for address in addresses}
    before = {one.entry.local: one.entry for one in find(connection, domain, unwanted, Source.OPERATOR)}
    write(connection, domain, Source.OPERATOR, {}, before, now=0.0)
    return len(before)


def replace(connection: Connection, domain: Domain, source: Source, entries: Iterable[Entry], now: float) -> Change:
    """Make the list of ``source`` exactly ``entries``; other sources' lists stay as they are.

    Of two entries for one address the first stands. Writes no more than what differs; where that may be very much,
    relay.recipients.editions keeps nobody waiting.
    """
    wanted: dict[str, Entry] = {}
    for entry in entries:
        wanted.setdefault(entry.local, entry)
    before = {one.entry.local: one.entry for one in list_all(connection, domain, source)}
    write(connection, domain, source, wanted, before, now)
    return Change(len(wanted.keys() - before.keys()), len(before.keys() - wanted.keys()), len(wanted))


def list_all(connection: Connection, domain: Domain, source: Source | None = None) -> list[Listed]:
    """What is listed, by address; what two sources list stands there twice."""
    return _listed(connection, domain, _of(source))


def page(connection: Connection, domain: Domain, source: Source, *, after: str, limit: int) -> list[Listed]:
    """The next ``limit`` of what one source lists, by address; ``after``: the last one of the page before."""
    return _listed(connection, domain, _of(source), recipients_list.c.local > after, limit=limit)


def find(
    connection: Connection, domain: Domain, locals_: Iterable[str], source: Source | None = None
) -> Iterator[Listed]:
    """Those of ``locals_`` (:attr:`Entry.local`) that are listed."""
    for some in _pages(sorted(locals_)):
        yield from _listed(connection, domain, _of(source), recipients_list.c.local.in_(some))


def provable(connection: Connection, domain: Domain) -> tuple[bool, str]:
    """Whether the domain's recipient policy can be carried out, and what shows it: the ``recipients`` proof."""
    if domain.recipients is RecipientPolicy.LEARNED:
        return remembered.provable(connection, domain)
    if domain.recipients is not RecipientPolicy.LISTED:
        return True, f"{domain.name}: every recipient is taken"
    query = (
        select(func.count(recipients_list.c.local.distinct()))
        .join(recipients_lists, COUNTS)
        .where(recipients_lists.c.domain_id == domain.id)
    )
    count = connection.execute(query).scalar_one()
    if not count:
        return False, f"{domain.name}: only listed recipients are taken, and the list is empty"
    if connection.execute(query.where(CATCH_ALL)).scalar_one():
        return True, f"{domain.name}: every recipient is taken, by a catch-all in the list"
    return True, f"{domain.name}: {count} {'recipient is' if count == 1 else 'recipients are'} listed"


def catch_alls(connection: Connection) -> set[int]:
    """The ids of domains whose list has a catch-all."""
    query = select(recipients_list.c.domain_id).join(recipients_lists, COUNTS).where(CATCH_ALL)
    return set(connection.execute(query).scalars())


def versions(connection: Connection) -> dict[int, int]:
    """By domain id, the version of what is listed; a domain for which nothing ever was has none."""
    newest = func.max(recipients_lists.c.version)
    query = select(recipients_lists.c.domain_id, newest).group_by(recipients_lists.c.domain_id)
    return {row[0]: row[1] for row in connection.execute(query)}


def load(connection: Connection, domain_ids: Sequence[int]) -> Iterator[tuple[int, list[str], bool]]:
    """(domain id, the mailboxes that are listed, whether there is a catch-all) of each domain that lists anybody."""
    rows = connection.execute(
        select(recipients_list.c.domain_id, recipients_list.c.local, recipients_list.c.kind)
        .join(recipients_lists, COUNTS)
        .where(recipients_lists.c.domain_id.in_(domain_ids))
        .order_by(recipients_list.c.domain_id)
    )
    catch_all = str(Kind.CATCH_ALL)
    for domain_id, group in groupby(rows, key=lambda row: row[0]):
        listed = [(local, kind == catch_all) for _, local, kind in group]
        yield domain_id, [local for local, everyone in listed if not everyone], any(one for _, one in listed)


def changed(connection: Connection, domain: Domain, source: Source) -> int:
    """Have every node reload the list with the commit of this transaction; the edition that counts."""
    connection.execute(update(recipients_version).values(version=recipients_version.c.version + 1))
    version = connection.execute(select(recipients_version.c.version)).scalar_one()
    raise_version(connection)
    own = (recipients_lists.c.domain_id == domain.id) & (recipients_lists.c.source == str(source))
    edition = connection.execute(select(recipients_lists.c.edition).where(own)).scalar()
    if edition is not None:
        connection.execute(update(recipients_lists).where(own).values(version=version))
        return int(edition)
    first = {"edition": 1, "begun": 1, "version": version}
    connection.execute(insert(recipients_lists).values(domain_id=domain.id, source=str(source), **first))
    return 1


def write(
    connection: Connection,
    domain: Domain,
    source: Source,
    wanted: dict[str, Entry],
    before: dict[str, Entry],
    now: float,
) -> None:
    """Make what is ``before`` in the edition that counts as ``wanted``."""
    gone = sorted(before.keys() - wanted.keys())
    new = [entry for local, entry in wanted.items() if local not in before]
    other = [entry for local, entry in wanted.items() if before.get(local, entry) != entry]
    if not gone and not new and not other:
        return
    edition = changed(connection, domain, source)
    place = {"domain_id": domain.id, "source": str(source), "edition": edition}
    rows = (
        (recipients_list.c.domain_id == domain.id)
        & (recipients_list.c.source == str(source))
        & (recipients_list.c.edition == edition)
    )
    for some in _pages(gone):
        connection.execute(delete(recipients_list).where(rows, recipients_list.c.local.in_(some)))
    if new:
        connection.execute(insert(recipients_list), [place | columns(entry, now) for entry in new])
    if other:
        connection.execute(
            update(recipients_list).where(rows, recipients_list.c.local == bindparam("which")),
            [{"which": entry.local, "kind": str(entry.kind), "target": entry.target} for entry in other],
        )


def columns(entry: Entry, added_at: float) -> dict[str, str | float | None]:
    """The columns of an entry, apart from whose it is."""
    return {"local": entry.local, "kind": str(entry.kind), "target": entry.target, "added_at": added_at}


def _of(source: Source | None) -> ColumnElement[bool]:
    return recipients_lists.c.source.in_([str(one) for one in ([source] if source else Source)])


def _listed(
    connection: Connection, domain: Domain, *conditions: ColumnElement[bool], limit: int | None = None
) -> list[Listed]:
    query = (
        select(recipients_list)
        .join(recipients_lists, COUNTS)
        .where(recipients_lists.c.domain_id == domain.id, *conditions)
        .order_by(recipients_list.c.local, recipients_list.c.source)
        .limit(limit)
    )
    return [
        Listed(Entry(one.local, Kind(one.kind), one.target), Source(one.source), one.added_at)
        for one in connection.execute(query)
    ]


def _pages(locals_: list[str]) -> Iterator[list[str]]:
    return (locals_[first : first + AT_ONCE] for first in range(0, len(locals_), AT_ONCE))
