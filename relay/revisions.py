"""Which programs can work with which database: old and new nodes side by side, while an upgrade goes through a cluster.

A migration *expands* when programs from before it can go on with the database that it leaves: it adds what they don't
look at. It *contracts* when it takes away or changes what they use. Each says so with a line of its own::

    compatible_from = "0018_tls"    # programs of that revision and newer ones go on working

Without that line none older than itself can. The newest of these of all migrations, the *floor*, is kept in the
database by every upgrade, so that an older program, which has never heard of its migrations, knows whether it may go
on. Functions work inside the caller's transaction; knows neither engines nor rooms.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Column, Connection, MetaData, String, Table, delete, insert, inspect, select

compatibility = Table("compatibility", MetaData(), Column("revision", String, primary_key=True))
"""One row: the oldest revision whose programs can work with this database. Made by a migration like any other table."""


def floor(declared: Iterable[tuple[str, str]]) -> str:
    """Of all migrations, (revision, compatible_from), oldest first: the oldest revision that can work with them all.

    Raises ValueError where a migration claims what can't be: a revision that isn't there, or comes after it.
    """
    order: list[str] = []
    found = -1
    for revision, compatible_from in declared:
        order.append(revision)
        if compatible_from not in order:
            raise ValueError(f"{revision} says compatible_from {compatible_from!r}, which is no revision before it")
        found = max(found, order.index(compatible_from))
    return order[found]


def keep(connection: Connection, revision: str) -> None:
    """Write down the floor."""
    if inspect(connection).has_table(compatibility.name):
        connection.execute(delete(compatibility))
        connection.execute(insert(compatibility).values(revision=revision))


def can_work(connection: Connection, known: Sequence[str]) -> bool:
    """Whether a program that knows these revisions can work with a database that is newer than all of them."""
    if not inspect(connection).has_table(compatibility.name):
        return False
    return connection.execute(select(compatibility.c.revision)).scalar() in known


def left_behind(revision: str | None, floor: str, known: Sequence[str]) -> bool:
    """Whether a program of that revision (None: from before they said) can't go on with a database of this floor."""
    return revision not in known or known.index(revision) < known.index(floor)
