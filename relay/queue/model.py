"""What goes into the queue and what comes out of it: frozen values, shared with edge, delivery and the command line.

Times are POSIX seconds, sizes bytes. A message's number is never used twice.
"""

from __future__ import annotations

from dataclasses import dataclass

from relay.appliances.model import Domain
from relay.mail import Client, Envelope, Recipient, Reply
from relay.queue.states import Reason, State
from relay.queue.upload import Upload


@dataclass(frozen=True, slots=True)
class Incoming:
    """One SMTP transaction as the edge hands it over.

    ``received``: our own Received line, ending in CRLF. ``content``: as it came, CRLF line ends, no dot-stuffing; an
    Upload where it was committed in pieces while it arrived. ``size``: bytes of the content without our line.
    ``message_id``: the Message-ID header, empty if none. ``routes``: the envelope's recipients by Gold domain.
    """

    envelope: Envelope
    client: Client
    received_at: float
    received: bytes
    content: bytes | Upload
    size: int
    message_id: str
    routes: tuple[tuple[Domain, tuple[Recipient, ...]], ...]


@dataclass(frozen=True, slots=True)
class Due:
    """A recipient to be tried; ``attempts``: how often it was tried before."""

    id: int
    address: str
    notify: str | None
    orcpt: str | None
    attempts: int
    domain: str


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message with those of its recipients that are due, without its content (``Queue.content``, ``pieces``).

    ``size`` is that of the content as it came, without our Received line. ``outage_id``: the outage that it is
    counted for, None where there was none.
    """

    id: int
    appliance_id: int
    sender: str
    recipients: tuple[Due, ...]
    size: int
    received_at: float
    body: str
    smtputf8: bool
    ret: str | None
    envid: str | None
    client: Client
    attempts: int
    outage_id: int | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one recipient in one attempt, at ``at``.

    ``state``: DELIVERED; HELD with a ``reason``; or QUEUED, a deferral until ``next_attempt_at`` (None: as soon as
    health allows). ``unknown``: the connection was lost between the final dot and its reply (RFC 1047). ``remote``:
    the host that replied; empty where the reply is ours.
    """

    message_id: int
    recipient_id: int
    state: State
    reply: Reply
    at: float
    reason: Reason | None = None
    next_attempt_at: float | None = None
    unknown: bool = False
    remote: str = ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits for an appliance, in recipients.

    ``oldest_received_at``: of everything queued. ``undeferred_since``: receipt of the oldest that is neither deferred
    nor held. ``next_attempt_at``: the nearest retry time of what was deferred. None: there is none.
    """

    queued: int
    held: int
    oldest_received_at: float | None
    undeferred_since: float | None
    next_attempt_at: float | None
