"""A message taken out of the queue for reading: its envelope, and its content a piece at a time. It stays where it is.

A large message is never whole in memory, and no transaction lasts longer than the reading of a piece: a message may
leave in the middle of it, which is said.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import select

from relay.db import Database
from relay.errors import NotFound
from relay.mail import Client
from relay.queue.content import unpack
from relay.queue.states import WAITING, Reason, State
from relay.queue.tables import PLACES, content, messages, recipients


@dataclass(frozen=True, slots=True)
class Waiter:
    """A recipient that waits for a message."""

    address: str
    domain: str
    state: State
    reason: Reason | None
    attempts: int
    last_reply: str
    notify: str | None
    orcpt: str | None


@dataclass(frozen=True, slots=True)
class Sealed:
    """The envelope of a message that waits; ``sender`` is empty for the null sender, ``size`` that of the content as it
    came."""

    id: int
    sender: str
    recipients: tuple[Waiter, ...]
    received_at: float
    size: int
    message_id: str
    body: str
    smtputf8: bool
    ret: str | None
    envid: str | None
    client: Client


def envelope(db: Database, number: int) -> Sealed:
    """Of a message of which somebody waits. Raises NotFound."""
    with db.read() as connection:
        row = connection.execute(select(messages).where(messages.c.id == number)).first()
        own = connection.execute(
            select(recipients)
            .where(
                recipients.c.id >= number * PLACES,
                recipients.c.id < (number + 1) * PLACES,
                recipients.c.state.in_(WAITING),
            )
            .order_by(recipients.c.id)
        ).all()
    if row is None or not own:
        raise _gone(number)
    return Sealed(
        number,
        row.sender,
        tuple(
            Waiter(
                one.address,
                one.domain,
                State(one.state),
                Reason(one.reason) if one.reason else None,
                one.attempts,
                one.last_reply,
                one.notify,
                one.orcpt,
            )
            for one in own
        ),
        row.received_at,
        row.size,
        row.message_id,
        row.body,
        row.smtputf8,
        row.ret,
        row.envid,
        Client(row.client_ip, row.client_port, row.client_helo, row.client_protocol),
    )


def pieces(db: Database, number: int) -> Iterator[bytes]:
    """A message as it would be sent: our Received line and the content as it came, 256 KiB at a time.

    Raises NotFound where the message is gone, also half way.
    """
    with db.read() as connection:
        content_id = connection.execute(select(messages.c.content_id).where(messages.c.id == number)).scalar()
        if content_id is None:
            raise _gone(number)
        ids = connection.execute(
            select(content.c.id)
            .where(content.c.id >= content_id * PLACES, content.c.id < (content_id + 1) * PLACES)
            .order_by(content.c.id)
        ).scalars()
        wanted = list(ids)
    for piece_id in wanted:
        with db.read() as connection:
            row = connection.execute(select(content.c.packed, content.c.data).where(content.c.id == piece_id)).first()
        if row is None:
            raise _gone(number)
        yield unpack(*row)


def _gone(number: int) -> NotFound:
    return NotFound(f"no message {number} is in the queue; 'relayctl trace --id {number}' knows more")
