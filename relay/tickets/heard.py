"""What people said in the helpdesk, carried out here as their own word: once each, however often it is heard.

A person who answers the customer there stops our clocks as one does who types ``relayctl ticket respond``. Works
inside the caller's transaction. What the ticket's state doesn't allow any more becomes a comment: it was said. The
helpdesk isn't told what it said itself.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, delete, func, insert, select, update

from relay.errors import Refused
from relay.tickets import operators, store
from relay.tickets.helpdesks.helpdesk import Act, Word
from relay.tickets.states import RELAY, Event, Priority, Status
from relay.tickets.tables import helpdesk_words, outbox, ticket_events, tickets
from relay.tickets.ticket import Ticket

REMEMBER = 30 * 86400.0
"""Seconds for which a word is known again."""
LATELY = 2_000


def known(connection: Connection, word_id: str) -> bool:
    """Whether it was carried out before."""
    return connection.execute(select(helpdesk_words.c.id).where(helpdesk_words.c.id == word_id)).first() is not None


def remember(connection: Connection, word_id: str, now: float) -> None:
    """It needn't be heard again."""
    connection.execute(insert(helpdesk_words).values(id=word_id, heard_at=now))
    connection.execute(delete(helpdesk_words).where(helpdesk_words.c.heard_at < now - REMEMBER))


def lately(connection: Connection) -> frozenset[str]:
    """The words that were heard last, for a helpdesk that would tell them again."""
    last = select(helpdesk_words.c.id).order_by(helpdesk_words.c.heard_at.desc()).limit(LATELY)
    return frozenset(connection.execute(last).scalars())


def take(connection: Connection, word: Word, now: float) -> Ticket | None:
    """Carry it out; None where that was done before. Raises NotFound, and Refused where no person can have said it."""
    if known(connection, word.id):
        return None
    store.get(connection, word.ticket_id)
    before = connection.execute(select(func.max(ticket_events.c.id))).scalar() or 0
    try:
        _carry_out(connection, word, now)
    except Refused as refusal:
        if word.actor == RELAY or not word.actor.strip():
            raise
        said = f"{word.act}: {word.text}" if word.text else str(word.act)
        operators.comment(connection, word.ticket_id, word.actor, f"{said} ({refusal})", now)
    _mark(connection, word.ticket_id, before)
    remember(connection, word.id, now)
    return store.get(connection, word.ticket_id)


def references(connection: Connection, since: float) -> Mapping[str, int]:
    """Our numbers of tickets by the helpdesk's names: those open, and those resolved ``since``."""
    which = store.OPEN | (tickets.c.resolved_at >= since)
    rows = connection.execute(
        select(tickets.c.external_ref, tickets.c.id)
        .where(tickets.c.external_ref.is_not(None), which)
        .order_by(tickets.c.id)
    )
    return {row.external_ref: row.id for row in rows}


def _mark(connection: Connection, ticket_id: int, before: int) -> None:
    """What the outbox has got by this is known to the helpdesk; what follows from it (what is due now) isn't."""
    rows = connection.execute(
        select(outbox.c.id, outbox.c.payload).where(outbox.c.ticket_id == ticket_id, outbox.c.event_id > before)
    ).all()
    for row in rows:
        connection.execute(update(outbox).where(outbox.c.id == row.id).values(payload={**row.payload, "heard": True}))


def _carry_out(connection: Connection, word: Word, now: float) -> None:
    number, actor, text = word.ticket_id, word.actor, word.text
    at = now if word.at is None else min(word.at, now)
    match word.act:
        case Act.OPENED if store.get(connection, number).status is not Status.OPEN:
            pass  # somebody has it already
        case Act.ACKNOWLEDGE | Act.OPENED if at < _taken_anew_at(connection, number):
            # It was said before the ticket was raised or reopened, since when somebody has to take it anew.
            operators.comment(connection, number, actor, text or "took it", at)
        case Act.ACKNOWLEDGE | Act.OPENED:
            operators.acknowledge(connection, number, actor, at, text)
        case Act.RESPOND if at < _taken_anew_at(connection, number):
            operators.comment(connection, number, actor, text, at)
        case Act.RESPOND:
            operators.respond(connection, number, actor, text, at)
        case Act.COMMENT:
            operators.comment(connection, number, actor, text, at)
        case Act.WAIT:
            operators.wait(connection, number, actor, text, at)
        case Act.RESUME:
            operators.resume(connection, number, actor, text, at)
        case Act.PRIORITY:
            operators.set_priority(connection, number, Priority(word.priority or 0), actor, text, at)
        case Act.RESOLVE:
            operators.resolve(connection, number, actor, text, at)
        case Act.REOPEN:
            operators.reopen(connection, number, actor, text, at)


def _taken_anew_at(connection: Connection, ticket_id: int) -> float:
    """When the present cycle of its clocks began: the last opening, reopening or raise was written."""
    lines = store.histories(connection, tickets.c.id == ticket_id, (Event.OPENED, Event.REOPENED, Event.PRIORITY)).get(
        ticket_id, []
    )
    starts = [
        line.at for line in lines if line.event is not Event.PRIORITY or int(line.after or 0) < int(line.before or 0)
    ]
    # What is said within the second in which it began is said after it: helpdesks tell no parts of a second.
    return max(starts, default=0.0) - 1.0
