"""Looking for each other: a node asks the others whether they reach an appliance that it can't, through the database.

    ask ──▶ looks ──▶ asked, answer ──▶ sights ──▶ seen, withdraw

A look is there for seconds; who doesn't answer in time doesn't count. What came of it is a *blind spot*: a node that
can't reach an appliance, though another one can. Rows of one look are written by one node each, so that no two
transactions wait for each other. Functions work inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from relay.appliances import wakes
from relay.appliances.facts import raise_version
from relay.appliances.tables import appliances
from relay.cluster.tables import blind_spots, looks, sights

ASKED, ANSWERED = -2, -3
"""What is woken, in the place of an appliance: those who are asked, and those who wait for answers."""
SAID_LIMIT = 300


@dataclass(frozen=True, slots=True)
class Look:
    """``node`` would like to know whether another one reaches an appliance, at one of its ``primaries`` (host:port)."""

    id: int
    node: str
    appliance_id: int
    primaries: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sight:
    """What ``node`` saw; ``said``: in words. ``reaches``: None where it can't tell whether that is its own fault."""

    look_id: int
    node: str
    reaches: bool | None
    said: str


@dataclass(frozen=True, slots=True)
class BlindSpot:
    """``node`` can't reach an appliance that another one can; ``said``: what it sees instead."""

    appliance_id: int
    node: str
    primaries: tuple[str, ...]
    said: str


def ask(connection: Connection, node: str, wanted: Mapping[int, Sequence[str]]) -> dict[int, int]:
    """Ask everybody about these appliances (their primaries); the number of each look, by appliance."""
    rows = [
        {"node": node, "appliance_id": number, "primaries": list(primaries)} for number, primaries in wanted.items()
    ]
    numbers = connection.execute(insert(looks).returning(looks.c.appliance_id, looks.c.id), rows)
    found = {row.appliance_id: row.id for row in numbers}
    wakes.mark(connection, [ASKED])
    return found


def asked(connection: Connection, node: str) -> list[Look]:
    """What others would like to know of ``node`` now."""
    rows = connection.execute(select(looks).where(looks.c.node != node).order_by(looks.c.id))
    return [Look(row.id, row.node, row.appliance_id, tuple(row.primaries)) for row in rows]


def answer(connection: Connection, seen: Collection[Sight]) -> None:
    """Say what was seen; of looks that nobody waits for any more, nothing."""
    wanted = {sight.look_id for sight in seen}
    there = set(connection.execute(select(looks.c.id).where(looks.c.id.in_(wanted))).scalars())
    rows = [
        {"look_id": one.look_id, "node": one.node, "reaches": one.reaches, "said": one.said[:SAID_LIMIT]}
        for one in seen
        if one.look_id in there
    ]
    if rows:
        connection.execute(insert(sights), rows)
        wakes.mark(connection, [ANSWERED])


def seen(connection: Connection, look_ids: Collection[int]) -> dict[int, list[Sight]]:
    """What the others have seen so far, by look."""
    found: dict[int, list[Sight]] = {}
    rows = connection.execute(select(sights).where(sights.c.look_id.in_(look_ids)).order_by(sights.c.node))
    for row in rows:
        found.setdefault(row.look_id, []).append(Sight(row.look_id, row.node, row.reaches, row.said))
    return found


def withdraw(connection: Connection, look_ids: Collection[int]) -> None:
    """Nobody waits for these any more."""
    connection.execute(delete(looks).where(looks.c.id.in_(look_ids)))
    connection.execute(delete(sights).where(sights.c.look_id.in_(look_ids)))


def forget(connection: Connection, node: str) -> None:
    """``node`` has just started, and waits for nothing; nor does anybody for sights that have no look."""
    connection.execute(delete(looks).where(looks.c.node == node))
    connection.execute(delete(sights).where(sights.c.look_id.not_in(select(looks.c.id))))


def is_blind(connection: Connection, spot: BlindSpot, now: float) -> None:
    """Say that a node can't reach an appliance though another one can; ``since`` stays where that is no news."""
    same = (blind_spots.c.appliance_id == spot.appliance_id) & (blind_spots.c.node == spot.node)
    if connection.execute(select(blind_spots.c.node).where(same)).first() is None:
        connection.execute(
            insert(blind_spots).values(
                appliance_id=spot.appliance_id,
                node=spot.node,
                primaries=list(spot.primaries),
                since=now,
                said=spot.said[:SAID_LIMIT],
            )
        )
        raise_version(connection)


def sees(connection: Connection, appliance_ids: Iterable[int], node: str | None = None) -> None:
    """These are reached by ``node`` now; without it: by nobody, so that no node is blinder than another."""
    gone = blind_spots.c.appliance_id.in_(list(appliance_ids))
    removed = connection.execute(
        delete(blind_spots).where(gone if node is None else gone & (blind_spots.c.node == node))
    )
    if removed.rowcount:
        raise_version(connection)


def blind(connection: Connection, node: str) -> list[BlindSpot]:
    """What ``node`` can't reach; of appliances that were removed nothing is left by that."""
    connection.execute(delete(blind_spots).where(blind_spots.c.appliance_id.not_in(select(appliances.c.id))))
    rows = connection.execute(select(blind_spots).where(blind_spots.c.node == node))
    return [BlindSpot(row.appliance_id, row.node, tuple(row.primaries), row.said) for row in rows]
