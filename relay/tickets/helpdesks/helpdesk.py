"""What the relay asks of a helpdesk: take a message, say what people did there, say whether it works."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """One thing that happened to a ticket, and how the ticket stood afterwards.

    ``kind``: an Event of relay.tickets.states. ``payload``: ``{"ticket": as in relayctl ticket show --json, "event":
    {"id", "visible", …Entry.facts()}}``. ``external_ref``: the helpdesk's own name of the ticket, once it gave one.
    ``attempts``: deliveries that failed before this one. ``key``: the same whenever this message is delivered, and no
    other's; ``incident``: the same for our ticket. ``heard``: it was said in the helpdesk, which needn't be told.
    """

    id: int
    ticket_id: int
    kind: str
    payload: Mapping[str, Any]
    external_ref: str | None
    created_at: float
    attempts: int
    key: str
    incident: str
    heard: bool


class Act(StrEnum):
    """What a person did in the helpdesk. ``opened``: they began to work on it, which is an acknowledgment where nobody
    had taken it."""

    ACKNOWLEDGE = "acknowledge"
    OPENED = "opened"
    RESPOND = "respond"
    COMMENT = "comment"
    WAIT = "wait"
    RESUME = "resume"
    PRIORITY = "priority"
    RESOLVE = "resolve"
    REOPEN = "reopen"


@dataclass(frozen=True, slots=True)
class Word:
    """A person's word, said in the helpdesk. ``id``: the helpdesk's own name for it, never used again. ``at``: when it
    was said, POSIX seconds; None: now. ``priority``: 1 to 3, of Act.PRIORITY."""

    id: str
    ticket_id: int
    act: Act
    actor: str
    text: str = ""
    at: float | None = None
    priority: int | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """What people did, oldest first, and up to where that is: an earlier one may come again. ``cursor``: empty where
    the helpdesk isn't asked at all."""

    words: tuple[Word, ...]
    cursor: str


class Helpdesk(Protocol):
    """Where tickets are shown to people."""

    @property
    def name(self) -> str:
        """The setting ``[helpdesk] kind``."""
        ...

    @property
    def url(self) -> str:
        """Where it is; empty for one that is nowhere else."""
        ...

    async def deliver(self, message: Message) -> str | None:
        """Tell the helpdesk; returns its name for the ticket, if it has one.

        Called in order for each ticket, for several tickets at once, and again with the same message where it isn't
        certain that it arrived: ``message.key`` tells a repetition. Raises HelpdeskDown where it would take no other
        message either, HelpdeskGone where it never will; any other exception means: this one later again.
        """
        ...

    async def hear(self, cursor: str, tickets: Mapping[str, int], known: Container[str]) -> Heard:
        """What people have done there since ``cursor`` (empty: from now on). ``tickets``: our number by its own name
        for those that may still be spoken of; ``known``: words that needn't be told again. Raises HelpdeskError."""
        ...

    async def check(self) -> str:
        """Try what can be tried without a trace, for ``relayctl doctor``: what was found. Raises HelpdeskError."""
        ...

    async def close(self) -> None: ...
