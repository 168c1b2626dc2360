"""What was learned of recipients, in the database; functions work inside the caller's transaction.

Written by the node that asked, read by all: each write has a number, and a reader asks for what is above the last one
that it has read. What an operator has forgotten stays for a day at least as a row that says so, for nodes to hear it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, Select, case, delete, func, insert, select, tuple_, update

from relay.appliances.facts import raise_version
from relay.appliances.model import Domain, NeverSeen, RecipientPolicy
from relay.appliances.tables import domains
from relay.clock import iso
from relay.errors import Refused
from relay.mail import domain_of
from relay.recipients.learned import DAY, Answer, Known
from relay.recipients.tables import recipients_learned as table

EVERYBODY = ""
"""Stands for all addresses of a domain: whether the primary accepts one that nobody could have guessed (wildcard)."""
FORGOTTEN = "forgotten"
PAGE = 10_000
"""Rows read in one transaction."""


class Key(NamedTuple):
    """A domain, told from a later one of the same number."""

    domain_id: int
    created_at: float


class Entry(NamedTuple):
    """One recipient; ``known`` is None where it was forgotten."""

    domain_id: int
    local: str
    known: Known | None


def page(connection: Connection, after: tuple[int, str] | None = None, domain_id: int | None = None) -> list[Entry]:
    """The next rows of all learned domains (or of one) in the order of domain and recipient; none: that was all."""
    query = select(table).join(domains).where(domains.c.recipients == str(RecipientPolicy.LEARNED))
    if domain_id is not None:
        query = query.where(table.c.domain_id == domain_id)
    query = query.where(table.c.answer != FORGOTTEN)
    if after is not None:
        query = query.where(tuple_(table.c.domain_id, table.c.local) > after)
    return _entries(connection, query.order_by(table.c.domain_id, table.c.local).limit(PAGE))


def latest(connection: Connection) -> int:
    """The number of the last write."""
    return int(connection.execute(select(func.coalesce(func.max(table.c.number), 0))).scalar_one())


def since(connection: Connection, number: int) -> tuple[int, list[Entry]]:
    """The number of the last of at most PAGE writes after ``number``, and what they wrote."""
    rows = connection.execute(select(table).where(table.c.number > number).order_by(table.c.number).limit(PAGE)).all()
    return max((row.number for row in rows), default=number), [_entry(row) for row in rows]


def write(connection: Connection, news: Mapping[tuple[Key, str], Known | None]) -> None:
    """Keep what is known, and let go what isn't (None); a few hundred at a time. Domains that are gone are left out."""
    wanted = select(domains.c.id, domains.c.created_at).where(domains.c.id.in_({key.domain_id for key, _ in news}))
    present = {Key(row.id, row.created_at) for row in connection.execute(wanted)}
    number = latest(connection) + 1
    gone = [(key.domain_id, local) for key, local in news]
    for start in range(0, len(gone), 200):
        rows = gone[start : start + 200]
        connection.execute(delete(table).where(tuple_(table.c.domain_id, table.c.local).in_(rows)))
    kept = [
        _row(key.domain_id, local, known, number)
        for (key, local), known in news.items()
        if known is not None and key in present
    ]
    if kept:
        connection.execute(insert(table), kept)


def forget(connection: Connection, domain: Domain, addresses: Collection[str], now: float) -> int:
    """Forget these recipients, or without any all that was learned of the domain; how many. Raises Refused."""
    which = (table.c.domain_id == domain.id) & (table.c.answer != FORGOTTEN)
    if addresses:
        which &= table.c.local.in_([_local(domain, address) for address in addresses])
    people = connection.execute(select(func.count()).select_from(table).where(which, table.c.local != EVERYBODY))
    count = int(people.scalar_one())
    number = latest(connection) + 1
    connection.execute(delete(table).where(table.c.answer == FORGOTTEN, table.c.last_at < now - DAY))
    connection.execute(update(table).where(which).values(answer=FORGOTTEN, last_at=now, number=number))
    raise_version(connection)
    return count


def list_all(connection: Connection, domain: Domain) -> list[Entry]:
    """All that is known of a domain's recipients, those that exist first."""
    which = (table.c.domain_id == domain.id) & (table.c.answer != FORGOTTEN) & (table.c.local != EVERYBODY)
    return _entries(connection, select(table).where(which).order_by(table.c.answer, table.c.local))


def everybody(connection: Connection, domain: Domain) -> Known | None:
    """What the primary said of an address that nobody could have guessed; None: it was not asked yet."""
    found = _entries(
        connection,
        select(table).where(table.c.domain_id == domain.id, table.c.local == EVERYBODY, table.c.answer != FORGOTTEN),
    )
    return found[0].known if found else None


def provable(connection: Connection, domain: Domain) -> tuple[bool, str]:
    """Whether the domain's policy can be carried out, and what shows it: as relay.recipients.lists.provable."""
    known = everybody(connection, domain)
    if known is not None and known.answer is Answer.ACCEPTED:
        return True, f"{domain.name}: the primary accepts any address ({iso(known.last_at)}), and so do we"
    which = (table.c.domain_id == domain.id) & (table.c.local != EVERYBODY)
    accepted = table.c.answer == str(Answer.ACCEPTED)
    rejected = (table.c.answer == str(Answer.REJECTED)) & (table.c.confirmations > 1)
    row = connection.execute(
        select(
            func.sum(case((accepted, 1), else_=0)).label("accepted"),
            func.sum(case((rejected, 1), else_=0)).label("rejected"),
            func.min(case((accepted, table.c.last_at))).label("oldest"),
            func.max(case((accepted, table.c.last_at))).label("newest"),
        ).where(which)
    ).one()
    fate = _FATE[domain.never_seen]
    if not row.accepted:
        text = f"{domain.name}: no recipient has been learned yet, {fate}"
        return domain.never_seen is NeverSeen.ACCEPT, text
    exist = "1 recipient is known to exist" if row.accepted == 1 else f"{row.accepted} recipients are known to exist"
    when = f"confirmed from {iso(row.oldest)} to {iso(row.newest)}"
    return True, f"{domain.name}: {exist} ({when}) and {row.rejected} not to, {fate}"


_FATE = {
    NeverSeen.ACCEPT: "the never-seen are taken",
    NeverSeen.DEFER: "the never-seen are put off",
    NeverSeen.REJECT: "the never-seen are refused",
}


def _entries(connection: Connection, query: Select[Any]) -> list[Entry]:
    rows: Iterable[Row[Any]] = connection.execute(query)
    return [_entry(row) for row in rows]


def _entry(row: Row[Any]) -> Entry:
    if row.answer == FORGOTTEN:
        return Entry(row.domain_id, row.local, None)
    known = Known(Answer(row.answer), row.first_at, row.last_at, row.confirmations, row.doubts, row.doubted_at)
    return Entry(row.domain_id, row.local, known)


def _row(domain_id: int, local: str, known: Known, number: int) -> dict[str, Any]:
    return {
        "domain_id": domain_id,
        "local": local,
        "answer": str(known.answer),
        "first_at": known.first_at,
        "last_at": known.last_at,
        "confirmations": known.confirmations,
        "doubts": known.doubts,
        "doubted_at": known.doubted_at,
        "number": number,
    }


def _local(domain: Domain, address: str) -> str:
    local, at, _ = address.strip().rpartition("@")
    if at and domain_of(address.strip()) != domain.name:
        raise Refused(f"{address.strip()!r} is not an address at {domain.name}")
    return (local if at else address.strip()).lower()
