"""What the writer is asked to do: frozen values, each carried out whole or not at all.

An :class:`Accept` and a :class:`Record` are the hot ones and share statements with their like in a batch; a
:class:`Call` is everything else. ``weight``: the bytes of content that a command stores; what has weight is mail, and
refused while the disk has no room for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from relay.mail import Recipient, storable
from relay.queue.content import Piece
from relay.queue.ledger import Deltas
from relay.queue.model import Incoming, Outcome
from relay.queue.statements import Statements
from relay.queue.states import WAITING, Reason, State
from relay.queue.tables import PLACES

Messages = tuple[tuple[int, tuple[tuple[str, Recipient], ...]], ...]
"""For each message its appliance, and its recipients, each with its Gold domain."""


@dataclass(frozen=True, slots=True)
class Accept:
    """A transaction of the edge, ready to be stored; its result is the numbers of its messages.

    ``content_id``: of an upload, None for new content. ``pieces``: (place, piece) that are still to be stored.
    """

    incoming: Incoming
    content_id: int | None
    pieces: tuple[tuple[int, Piece], ...]
    messages: Messages

    @property
    def weight(self) -> int:
        return sum(len(data) for _, (_, data) in self.pieces)

    def domains(self) -> Iterator[dict[str, int]]:
        """For each message how many recipients each of its domains has."""
        for _, recipients in self.messages:
            domains: dict[str, int] = {}
            for domain, _ in recipients:
                domains[domain] = domains.get(domain, 0) + 1
            yield domains


def split(incoming: Incoming) -> Messages:
    """One message for each appliance (more where it has more recipients than one can number)."""
    appliances: dict[int, list[tuple[str, Recipient]]] = {}
    for domain, recipients in incoming.routes:
        group = appliances.setdefault(domain.appliance_id, [])
        group += [(domain.name, recipient) for recipient in recipients]
    return tuple(
        (appliance_id, tuple(group[start : start + PLACES]))
        for appliance_id, group in appliances.items()
        for start in range(0, len(group), PLACES)
    )


@dataclass(frozen=True, slots=True)
class Change:
    """One recipient goes from one of the states in ``sources`` to ``state``; else nothing happens.

    ``reply``: the last reply, None to leave it. ``attempt``: it was tried, at ``at``, and answered by ``remote`` (None:
    by nobody but us). ``outage_id``: counted for that outage from now on, None to leave it.
    """

    recipient_id: int
    sources: tuple[State, ...]
    state: State
    at: float
    reason: Reason | None = None
    reply: str | None = None
    next_attempt_at: float | None = None
    attempt: bool = False
    outage_id: int | None = None
    remote: str | None = None


_SOURCES = {
    State.DELIVERED: WAITING,  # what has happened is recorded, also of what was held while it was in flight
    State.QUEUED: (State.QUEUED,),
    State.HELD: (State.QUEUED,),
}


def change_of(outcome: Outcome) -> Change:
    """What an outcome changes."""
    reply = f"{outcome.reply}" + (" (outcome unknown)" if outcome.unknown else "")
    return Change(
        recipient_id=outcome.recipient_id,
        sources=_SOURCES[outcome.state],
        state=outcome.state,
        at=outcome.at,
        reason=outcome.reason,
        reply=storable(reply),
        next_attempt_at=outcome.next_attempt_at,
        attempt=True,
        remote=outcome.remote or None,
    )


@dataclass(frozen=True, slots=True)
class Record:
    """Changes; the result is how many took place."""

    changes: tuple[Change, ...]
    weight: ClassVar[int] = 0


@dataclass(frozen=True, slots=True)
class Call:
    """Work inside the writer's transaction; the result is its own."""

    work: Callable[[Statements, Deltas], Any]
    weight: int = 0
