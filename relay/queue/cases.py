"""Mail that has failed for good, has waited too long, or waits for long, as those read it who judge: by message.

Functions work inside the caller's transaction, page by key, and follow the hot indexes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Select, func, or_, select, text

from relay.appliances.model import DEFAULT_LIFETIME
from relay.mail import NULL_SENDER, Client, wants_delay
from relay.queue import backlog
from relay.queue.states import Reason, State
from relay.queue.tables import ASKED, FAILED, HOT, PLACES, content, messages, recipients

Page = tuple[list["Case"], int | None]
"""Cases, and what to go on after: None at the end."""


@dataclass(frozen=True, slots=True)
class Concerned:
    """A recipient about whom something is to be decided. ``reply``: the last one, and ``remote`` who gave it (None:
    nobody but us); ``tried_at``: when. ``expires_at``: where it is queued."""

    id: int
    address: str
    domain: str
    notify: str | None
    orcpt: str | None
    reply: str
    remote: str | None
    tried_at: float | None
    expires_at: float


@dataclass(frozen=True, slots=True)
class Case:
    """A message with the recipients concerned. ``verdict`` and ``evidence``: whether its sender is vouched for, None
    where nobody has found out; ``asked``: in vain, so many times, and not again before ``ask_at``."""

    id: int
    appliance_id: int
    sender: str
    received_at: float
    message_id: str
    size: int
    smtputf8: bool
    ret: str | None
    envid: str | None
    verdict: str | None
    evidence: str | None
    asked: int
    ask_at: float | None
    client: Client
    recipients: tuple[Concerned, ...]


def appliances(connection: Connection) -> set[int]:
    """Those with mail that has failed."""
    return set(connection.execute(select(recipients.c.appliance_id).where(text(FAILED)).distinct()).scalars())


def failed(connection: Connection, appliance_id: int, now: float, after: int, limit: int) -> list[Case]:
    """Messages past number ``after`` with recipients held as failed, but for those to be asked about later."""
    query = (
        select(recipients.c.message_id)
        .join(messages, messages.c.id == recipients.c.message_id)
        .where(
            text(FAILED),
            recipients.c.appliance_id == appliance_id,
            recipients.c.id >= (after + 1) * PLACES,
            recipients.c.state == State.HELD,
            or_(messages.c.ask_at.is_(None), messages.c.ask_at <= now),
        )
        .order_by(recipients.c.id)
        .limit(limit)
    )
    found = dict.fromkeys(connection.execute(query).scalars())
    return _cases(connection, found, lambda row: row.state == State.HELD and row.reason == Reason.FAILED)


def overdue(connection: Connection, appliance_id: int, now: float, after: int, limit: int) -> Page:
    """Messages with queued recipients that have waited longer than their domains allow, as set now.

    Looks at ``limit`` recipients past the id ``after``, and goes on after an id.
    """
    ids, last = backlog.expiring(connection, appliance_id, now, after, limit)
    found = []
    for case in _cases(connection, _messages(ids), _queued):
        over = tuple(one for one in case.recipients if one.expires_at <= now)
        found.append(replace(case, recipients=over))
    return found, _end_of_message(last)


def late(connection: Connection, appliance_id: int, before: float, after: int, limit: int) -> Page:
    """Messages received before then with queued recipients for whom a report of the delay was asked, where nobody has
    decided about it yet. Looks at ``limit`` recipients past the id ``after``, and goes on after an id."""
    query = (
        select(recipients.c.id, recipients.c.notify, recipients.c.state, messages.c.received_at, messages.c.warned_at)
        .join(messages, messages.c.id == recipients.c.message_id)
        .where(text(ASKED), recipients.c.appliance_id == appliance_id, recipients.c.id > after)
        .order_by(recipients.c.id)
        .limit(limit)
    )
    rows = connection.execute(query).all()
    # Numbers are in the order of receipt: what comes after the first that is too young is younger still.
    old = [row for row in rows if row.received_at < before]
    wanted = [row.id for row in old if row.warned_at is None and _wants_delay(row)]
    return _cases(connection, _messages(wanted), _wants_delay), _end_of_message(old[-1].id) if len(
        old
    ) == limit else None


def _queued(row: Any) -> bool:
    return bool(row.state == State.QUEUED)


def _wants_delay(row: Any) -> bool:
    return _queued(row) and wants_delay(row.notify)


def unjudged(connection: Connection, appliance_id: int, after: int, limit: int) -> Page:
    """Messages past number ``after`` with queued recipients, whose senders nobody has judged, oldest first.

    Looks at ``limit`` recipients, and goes on after a number.
    """
    waiting = backlog.queued_of(appliance_id).where(recipients.c.id >= (after + 1) * PLACES).limit(limit)
    ids = [row.id for row in connection.execute(waiting)]
    query = select(messages.c.id).where(
        messages.c.id.in_(_messages(ids)), messages.c.verdict.is_(None), messages.c.sender != NULL_SENDER
    )
    numbers = sorted(connection.execute(query).scalars())
    found = _cases(connection, numbers, _queued)
    return found, ids[-1] // PLACES if len(ids) == limit else None


def quarantined(connection: Connection, appliance_id: int, limit: int) -> list[tuple[str, int]]:
    """Why recipients of an appliance are held as quarantined, and how many for each; the most frequent first."""
    query = (
        select(messages.c.evidence, func.count())
        .join(recipients, recipients.c.message_id == messages.c.id)
        .where(
            text(HOT),
            recipients.c.appliance_id == appliance_id,
            recipients.c.state == State.HELD,
            recipients.c.reason == Reason.QUARANTINED,
        )
        .group_by(messages.c.evidence)
        .order_by(func.count().desc(), messages.c.evidence)
        .limit(limit)
    )
    return [(evidence or "", number) for evidence, number in connection.execute(query)]


def piece(message_id: int, after: int) -> Select[Any]:
    """The piece of a message's content that follows the piece ``after``."""
    number = select(messages.c.content_id).where(messages.c.id == message_id).scalar_subquery()
    return (
        select(content)
        .where(content.c.id > after, content.c.id >= number * PLACES, content.c.id < (number + 1) * PLACES)
        .order_by(content.c.id)
        .limit(1)
    )


def _messages(ids: Collection[int]) -> list[int]:
    """The numbers of the messages that recipients belong to, in order."""
    return list(dict.fromkeys(number // PLACES for number in ids))


def _end_of_message(last: int | None) -> int | None:
    """A message is judged as a whole: the last id that one of its recipients can have."""
    return None if last is None else (last // PLACES + 1) * PLACES - 1


_MESSAGE = [messages.c[name] for name in Case.__dataclass_fields__ if name not in ("client", "recipients")]
_CLIENT = [messages.c[f"client_{name}"] for name in ("ip", "port", "helo", "protocol")]
_RECIPIENT = [
    recipients.c[name] for name in ("id", "address", "domain", "notify", "orcpt", "last_reply", "remote", "tried_at")
]
_STANDS = [recipients.c.state, recipients.c.reason]


def _cases(connection: Connection, numbers: Collection[int], concerned: Callable[[Any], bool]) -> list[Case]:
    """These messages, each with those recipients who are ``concerned``; left out where there is none."""
    if not numbers:
        return []
    heads = select(*_MESSAGE, *_CLIENT).where(messages.c.id.in_(list(numbers))).order_by(messages.c.id)
    lifetimes: dict[int, dict[str, int]] = {}
    found = []
    for head in connection.execute(heads).all():
        message, client = head[: len(_MESSAGE)], Client(*head[len(_MESSAGE) :])
        appliance_id = head.appliance_id
        if appliance_id not in lifetimes:
            lifetimes[appliance_id] = backlog.lifetimes(connection, appliance_id)
        returned_at = backlog.last_return(connection, appliance_id)
        own = recipients.c.id.between(head.id * PLACES, (head.id + 1) * PLACES - 1)
        people = []
        for row in connection.execute(select(*_RECIPIENT, *_STANDS).where(own).order_by(recipients.c.id)):
            if concerned(row):
                lifetime = lifetimes[appliance_id].get(row.domain, DEFAULT_LIFETIME)
                expires_at = backlog.expiry(head.received_at, lifetime, returned_at)
                people.append(Concerned(*(*row[: len(_RECIPIENT)], expires_at)))
        if people:
            found.append(Case(*(*message, client, tuple(people))))
    return found
