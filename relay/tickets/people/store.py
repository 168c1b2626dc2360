"""Notices and lanes in the database, inside the caller's transaction.

What is on its way is marked with its batch before it goes: where a process dies in the middle of a call, the same goes
again, with nothing added, so that its key tells the repetition.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, insert, select, update

from relay.tickets import store as tickets
from relay.tickets.contact import delay
from relay.tickets.people.batch import Notice, batch_of
from relay.tickets.people.rules import CONTACT, OF_PEOPLE
from relay.tickets.people.tables import lanes, notices
from relay.tickets.states import RELAY, Event
from relay.tickets.tables import tickets as tickets_table

CONTACTS = "contacts"
"""The lane of all that goes to customers' contacts: the mail server of [notify] mail."""
GIVE_UP = 86400.0
"""Seconds after which nobody is told any more what they couldn't be told."""
KEEP = 90 * 86400.0
SENT, SKIPPED, GIVEN_UP = "sent", "skipped", "given up"
_WAITING: ColumnElement[bool] = notices.c.ended_at.is_(None)


@dataclass(frozen=True, slots=True)
class Lane:
    """How we stand with a way to people. ``trouble``: empty where there is none, since ``trouble_since``; it isn't
    tried again before ``retry_at``. ``reached_at``: when it last took something."""

    name: str
    trouble: str = ""
    trouble_since: float | None = None
    failures: int = 0
    retry_at: float = 0.0
    reached_at: float | None = None

    def reached(self, now: float) -> Lane:
        return Lane(self.name, reached_at=now)

    def lost(self, why: str, now: float, spread: float) -> Lane:
        """``spread``: see relay.tickets.contact.delay."""
        failures = self.failures + 1
        since = now if self.trouble_since is None else self.trouble_since
        return replace(
            self, trouble=why, trouble_since=since, failures=failures, retry_at=now + delay(failures, spread)
        )


def lane_of(target: str) -> str:
    """The lane in which a target is told."""
    return CONTACTS if target.startswith(CONTACT) else target


def add(
    connection: Connection,
    ticket_id: int,
    target: str,
    about: str,
    kind: str,
    facts: Mapping[str, Any],
    now: float,
    due_at: float,
) -> bool:
    """Somebody is to be told; False where that was said before."""
    known = select(notices.c.id).where(notices.c.target == target, notices.c.about == about)
    if connection.execute(known).first() is not None:
        return False
    connection.execute(
        insert(notices).values(
            ticket_id=ticket_id,
            target=target,
            about=about,
            kind=str(kind),
            facts=dict(facts),
            created_at=now,
            due_at=due_at,
            attempts=0,
            next_attempt_at=due_at,
        )
    )
    return True


def told(connection: Connection, ticket_id: int) -> frozenset[str]:
    """Who was told of a ticket, or will be."""
    query = select(notices.c.target).where(notices.c.ticket_id == ticket_id).distinct()
    return frozenset(connection.execute(query).scalars())


def written(connection: Connection, about: str) -> frozenset[str]:
    """The targets that there are notices for about the same."""
    return frozenset(connection.execute(select(notices.c.target).where(notices.c.about == about)).scalars())


def due(connection: Connection, now: float, busy: Collection[tuple[int, str]]) -> list[tuple[Notice, ...]]:
    """What may be sent now: for each ticket and target the next batch, the longest waiting first."""
    ready = select(notices.c.ticket_id).where(_WAITING, notices.c.due_at <= now, notices.c.next_attempt_at <= now)
    if connection.execute(ready.limit(1)).first() is None:
        return []
    groups: dict[tuple[int, str], list[Notice]] = {}
    query = select(notices).where(_WAITING, notices.c.ticket_id.in_(ready)).order_by(notices.c.id)
    for row in connection.execute(query):
        if (row.ticket_id, row.target) not in busy:
            groups.setdefault((row.ticket_id, row.target), []).append(_notice(row))
    found = [batch for group in groups.values() if (batch := batch_of(group, now))]
    return sorted(found, key=lambda batch: (batch[0].next_attempt_at, batch[0].id))


def begin(connection: Connection, batch: Sequence[Notice]) -> None:
    """It goes now."""
    connection.execute(update(notices).where(_in(batch)).values(batch=batch[-1].id))


def end(connection: Connection, batch: Sequence[Notice], outcome: str, now: float, why: str | None = None) -> None:
    """It is told, or never will be."""
    values: dict[str, Any] = {"ended_at": now, "outcome": outcome, "batch": None}
    if why is not None:
        values["last_error"] = why
    connection.execute(update(notices).where(_in(batch), _WAITING).values(values))


def put_off(connection: Connection, batch: Sequence[Notice], why: str, now: float, spread: float) -> None:
    """It wasn't taken: again, ever more slowly, then together with what has been added."""
    attempts = batch[0].attempts + 1
    connection.execute(
        update(notices)
        .where(_in(batch), _WAITING)
        .values(batch=None, attempts=attempts, next_attempt_at=now + delay(attempts, spread), last_error=why)
    )


def give_up(connection: Connection, now: float) -> list[tuple[int, str, str]]:
    """End what has waited for too long, and say so in the tickets; (ticket, target, why) of each."""
    rows = connection.execute(select(notices).where(_WAITING, notices.c.due_at <= now - GIVE_UP)).all()
    groups: dict[tuple[int, str], list[Notice]] = {}
    for row in rows:
        groups.setdefault((row.ticket_id, row.target), []).append(_notice(row))
    ended = []
    for (ticket_id, target), group in groups.items():
        why = group[0].last_error or load_lane(connection, lane_of(target)).trouble or "nobody sent it"
        end(connection, group, GIVEN_UP, now, why)
        what = ", ".join(dict.fromkeys(notice.kind for notice in group))
        hours = f"{GIVE_UP / 3600:.0f} hours"
        remark(connection, ticket_id, f"{target} was not told ({what}): given up after {hours}: {why}", now)
        ended.append((ticket_id, target, why))
    return ended


def remark(connection: Connection, ticket_id: int, text: str, now: float) -> None:
    """A line in the ticket's history about whom it couldn't be told to; the same line once."""
    said = tickets.histories(connection, tickets_table.c.id == ticket_id, (Event.COMMENT,)).get(ticket_id, ())
    if any(entry.reason == text for entry in said):
        return
    tickets.record(connection, ticket_id, Event.COMMENT, RELAY, now, reason=text, data={OF_PEOPLE: True})


def forget(connection: Connection, now: float) -> None:
    """What ended long ago."""
    connection.execute(notices.delete().where(notices.c.ended_at < now - KEEP))


def load_lane(connection: Connection, name: str) -> Lane:
    row = connection.execute(select(lanes).where(lanes.c.name == name)).first()
    return Lane(name) if row is None else Lane(**row._mapping)


def all_lanes(connection: Connection) -> dict[str, Lane]:
    return {row.name: Lane(**row._mapping) for row in connection.execute(select(lanes))}


def save_lane(connection: Connection, lane: Lane) -> None:
    values = asdict(lane)
    if not connection.execute(update(lanes).where(lanes.c.name == lane.name).values(values)).rowcount:
        connection.execute(insert(lanes).values(values))


def ask_again(connection: Connection) -> None:
    """Somebody has looked after the address book: try every way at once."""
    connection.execute(update(lanes).values(retry_at=0.0, failures=0))
    connection.execute(update(notices).where(_WAITING).values(next_attempt_at=notices.c.due_at))


@dataclass(frozen=True, slots=True)
class Standing:
    """For people: how many wait for a target (and fell due), since when, and what was given up since a time."""

    waiting: int = 0
    oldest_at: float | None = None
    sent: int = 0
    last_sent_at: float | None = None
    last_error: str | None = None
    given_up: int = 0


def standings(connection: Connection, since: float) -> dict[str, Standing]:
    """By target. ``since``: what is counted as given up."""
    found: dict[str, Standing] = {}
    waiting = (
        select(notices.c.target, func.count(), func.min(notices.c.due_at), func.max(notices.c.last_error))
        .where(_WAITING)
        .group_by(notices.c.target)
    )
    for target, count, oldest, error in connection.execute(waiting):
        found[target] = Standing(count, oldest, last_error=error)
    ended = (
        select(notices.c.target, notices.c.outcome, func.count(), func.max(notices.c.ended_at))
        .where(notices.c.outcome.is_not(None))
        .group_by(notices.c.target, notices.c.outcome)
    )
    for target, outcome, count, last in connection.execute(ended):
        known = found.get(target, Standing())
        if outcome == SENT:
            found[target] = replace(known, sent=count, last_sent_at=last)
        elif outcome == GIVEN_UP and last >= since:
            found[target] = replace(known, given_up=count)
    return found


def of_ticket(connection: Connection, ticket_id: int) -> list[Row[Any]]:
    """Every notice of a ticket, oldest first."""
    return list(connection.execute(select(notices).where(notices.c.ticket_id == ticket_id).order_by(notices.c.id)))


def _in(batch: Iterable[Notice]) -> ColumnElement[bool]:
    return notices.c.id.in_([notice.id for notice in batch])


def _notice(row: Row[Any]) -> Notice:
    return Notice(
        row.id,
        row.ticket_id,
        row.target,
        row.kind,
        row.facts,
        row.created_at,
        row.due_at,
        row.batch,
        row.attempts,
        row.next_attempt_at,
        row.last_error,
    )
