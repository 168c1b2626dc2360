"""A long list, changed at once and without keeping others waiting.

A list of 200,000 addresses that is written in one transaction would stop all mail meanwhile. So it is written as a new
edition, in slices, and comes to count with the update of one row: nodes see the list of before or the new one, never
something between. What a process that was killed left behind is nobody's, and goes with the next long change.

    wanted = plan(db, domain, Source.OPERATOR, entries, keep=True)
    wanted.change                                  how many would be added and removed
    carry_out(db, wanted, now)

Of two who change the same list at the same time one is refused, and has changed nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from relay.appliances import store
from relay.appliances.model import Domain
from relay.db import Database
from relay.errors import Refused
from relay.recipients import lists
from relay.recipients.entry import Entry, Source
from relay.recipients.lists import Change, Listed
from relay.recipients.tables import recipients_list, recipients_lists

ROWS = 2000
"""Rows that one transaction writes: they are short, so it holds others up for some 10 ms."""
PAUSE = 0.01
"""Seconds between two of them."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the list of one source is, at a version of it, and what it should be; both by :attr:`Entry.local`."""

    domain: Domain
    source: Source
    version: int
    before: dict[str, Listed]
    wanted: dict[str, Entry]

    @property
    def change(self) -> Change:
        added = len(self.wanted.keys() - self.before.keys())
        return Change(added, len(self.before.keys() - self.wanted.keys()), len(self.wanted))

    def entry_before(self, local: str) -> Entry | None:
        listed = self.before.get(local)
        return listed.entry if listed else None


def every(db: Database, domain: Domain, source: Source) -> Iterator[Listed]:
    """All that one source lists, by address, read in pages. They may be of different times: then the version has
    changed too, and a plan that is made of them isn't carried out."""
    last = ""
    while True:
        with db.read() as connection:
            page = lists.page(connection, domain, source, after=last, limit=ROWS)
        yield from page
        if len(page) < ROWS:
            return
        last = page[-1].entry.local


def plan(db: Database, domain: Domain, source: Source, entries: Iterable[Entry], *, keep: bool) -> Plan:
    """Have a list be exactly ``entries``, or with ``keep`` what it is and ``entries``; of two for one address the first
    stands."""
    with db.read() as connection:
        version, _ = _counts(connection, domain, source)
    before = {one.entry.local: one for one in every(db, domain, source)}
    wanted: dict[str, Entry] = {}
    for entry in entries:
        wanted.setdefault(entry.local, entry)
    if keep:
        wanted = {local: one.entry for local, one in before.items()} | wanted
    return Plan(domain, source, version, before, wanted)


def carry_out(db: Database, wanted: Plan, now: float) -> Change:
    """Make it so. Raises Refused where the list is no longer as it was planned for, NotFound without its domain."""
    said = {local: entry for local, entry in wanted.wanted.items() if wanted.entry_before(local) != entry}
    gone = wanted.before.keys() - wanted.wanted.keys()
    if not said and not gone:
        return wanted.change
    if len(said) + len(gone) <= ROWS:
        before = {local: wanted.before[local].entry for local in (wanted.before.keys() & said.keys()) | gone}
        with db.write() as connection:
            _refuse_another(connection, wanted)
            lists.write(connection, wanted.domain, wanted.source, said, before, now)
    else:
        with db.write() as connection:
            edition = _begin(connection, wanted)
        try:
            _fill(db, wanted, edition, now)
            with db.write() as connection:
                _refuse_another(connection, wanted, begun=edition)
                lists.changed(connection, wanted.domain, wanted.source)
                connection.execute(update(recipients_lists).where(_own(wanted)).values(edition=edition))
        finally:
            _clear(db, wanted, edition)
    return wanted.change


def _own(wanted: Plan) -> ColumnElement[bool]:
    return (recipients_lists.c.domain_id == wanted.domain.id) & (recipients_lists.c.source == str(wanted.source))


def _counts(connection: Connection, domain: Domain, source: Source) -> tuple[int, int]:
    """(version, the highest edition that was begun)."""
    own = (recipients_lists.c.domain_id == domain.id) & (recipients_lists.c.source == str(source))
    found = connection.execute(select(recipients_lists.c.version, recipients_lists.c.begun).where(own)).first()
    return (found.version, found.begun) if found else (0, 0)


def _refuse_another(connection: Connection, wanted: Plan, begun: int | None = None) -> None:
    """Somebody has changed the list, or is about to: whoever began last goes on."""
    version, last = _counts(connection, wanted.domain, wanted.source)
    if (
        store.get_domain(connection, wanted.domain.name).id != wanted.domain.id
        or version != wanted.version
        or begun not in (None, last)
    ):
        raise Refused(f"somebody else changed the list of {wanted.domain.name} meanwhile; nothing was done, try again")


def _begin(connection: Connection, wanted: Plan) -> int:
    _refuse_another(connection, wanted)
    _, begun = _counts(connection, wanted.domain, wanted.source)
    if begun:
        connection.execute(update(recipients_lists).where(_own(wanted)).values(begun=begun + 1))
    else:  # nothing was ever listed: version and edition of nothing
        nothing = {"edition": 0, "begun": 1, "version": 0}
        connection.execute(
            insert(recipients_lists).values(domain_id=wanted.domain.id, source=str(wanted.source), **nothing)
        )
    return begun + 1


def _fill(db: Database, wanted: Plan, edition: int, now: float) -> None:
    place = {"domain_id": wanted.domain.id, "source": str(wanted.source), "edition": edition}
    order = sorted(wanted.wanted)
    for first in range(0, len(order), ROWS):
        rows = []
        for local in order[first : first + ROWS]:
            known = wanted.before.get(local)
            rows.append(place | lists.columns(wanted.wanted[local], known.added_at if known else now))
        with db.write() as connection:
            _refuse_another(connection, wanted, begun=edition)
            connection.execute(insert(recipients_list), rows)
        time.sleep(PAUSE)


def _clear(db: Database, wanted: Plan, last: int) -> None:
    """Delete the editions that don't count, up to ``last``: those beyond are somebody else's, and being written."""
    own = (recipients_list.c.domain_id == wanted.domain.id) & (recipients_list.c.source == str(wanted.source))
    counts = select(recipients_lists.c.edition).where(_own(wanted)).scalar_subquery()
    dead = own & (recipients_list.c.edition <= last) & (recipients_list.c.edition != counts)
    place = (recipients_list.c.edition, recipients_list.c.local)
    while True:
        with db.write() as connection:
            edition = connection.execute(select(recipients_list.c.edition).where(dead).limit(1)).scalar()
            if edition is None:
                return
            rows = own & (recipients_list.c.edition == edition)
            query = select(recipients_list.c.local).where(rows).order_by(*place).offset(ROWS).limit(1)
            end = connection.execute(query).scalar()
            slice_ = rows if end is None else rows & (recipients_list.c.local < end)
            connection.execute(delete(recipients_list).where(slice_))
        time.sleep(PAUSE)
