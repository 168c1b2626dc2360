"""What a customer's own contacts are told of an outage: at its start, at the takeover, at its end. Pure.

Plain words, in the customer's own time: what happened, since when, what becomes of their mail, what they need to do,
the ticket's number. Each is sent once for an outage; who hears of it late gets the last one alone, which tells all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from relay.tickets.people.message import Message
from relay.tickets.words import cause


class Stage(StrEnum):
    START = "start"
    TAKEOVER = "takeover"
    END = "end"


@dataclass(frozen=True, slots=True)
class Letter:
    """``reason``: the outage's, as it was recorded. ``kept`` … ``gone``: messages, one for each recipient, of the
    outage: taken in, handed over, still kept, and neither. All but ``kept`` are told at the end."""

    stage: Stage
    outage: int
    ticket: int
    appliance: str
    domains: tuple[str, ...]
    timezone: str
    reason: str
    began_at: float
    returned_at: float | None = None
    kept: int = 0
    handed_over: int = 0
    still_kept: int = 0
    gone: int = 0

    def json(self) -> dict[str, Any]:
        return {**asdict(self), "domains": list(self.domains)}

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Letter:
        return cls(**{**facts, "stage": Stage(facts["stage"]), "domains": tuple(facts["domains"])})


def compose(letter: Letter, cluster: str) -> Message:
    """``cluster``: what tells our tickets from others'."""
    title, *parts = {Stage.START: _start, Stage.TAKEOVER: _takeover, Stage.END: _end}[letter.stage](letter)
    parts.append(f"If you write or call, please mention ticket {letter.ticket}.")
    return Message(
        f"{title} (ticket {letter.ticket})",
        "\n\n".join(parts),
        key=f"{cluster}-outage-{letter.outage}-{letter.stage}",
        thread=f"{cluster}-contact-{letter.ticket}",
        ends=letter.stage is Stage.END,
    )


def _start(letter: Letter) -> tuple[str, ...]:
    return (
        "Your mail server can't be reached; your mail is being kept safe",
        f"Your mail server for {_domains(letter)} has taken no mail since {_moment(letter, letter.began_at)}. "
        f"{cause(letter.reason)}",
        "Mail that is sent to you is received and kept safe for you. Nothing is lost: it will be delivered to your "
        "mail server, unchanged, as soon as that is back.",
        "You need to do nothing for your mail. Our support engineers know. If your server was switched off on purpose, "
        "or you know what has happened to it, please tell us.",
    )


def _takeover(letter: Letter) -> tuple[str, ...]:
    return (
        "The continuity service keeps your mail while your mail server is away",
        f"Your mail server for {_domains(letter)} is still away, since {_moment(letter, letter.began_at)}. The "
        "continuity service that was agreed with you has taken over, and we have checked that it works.",
        "Mail that is sent to you goes on being received and kept safe. Nothing is lost: it will be delivered to your "
        "mail server as soon as that is back.",
        "You need to do nothing for your mail. Until then you can't read what is kept, and what your own server sends "
        "may be held up there.",
    )


def _end(letter: Letter) -> tuple[str, ...]:
    back = letter.returned_at or letter.began_at
    parts = [
        "Your mail server is back, and your mail has been handed over",
        f"Your mail server for {_domains(letter)} takes mail again. It was away from "
        f"{_moment(letter, letter.began_at)} to {_moment(letter, back)}.",
        _balance(letter),
    ]
    if letter.still_kept:
        parts[0] = "Your mail server is back"
        parts.append(
            "What is still kept your server hasn't taken yet. Our support engineers look after it; nothing of it is "
            "lost."
        )
    parts.append("You need to do nothing.")
    return tuple(parts)


def _balance(letter: Letter) -> str:
    if not letter.kept:
        return "Nobody sent you any mail in that time."
    text = f"{_many(letter.kept)} for you {_was(letter.kept)} kept in that time; {letter.handed_over} "
    text += f"{_was(letter.handed_over)} handed over to your server"
    if letter.still_kept:
        text += f", {letter.still_kept} {'is' if letter.still_kept == 1 else 'are'} still kept"
    if letter.gone:
        text += f", {letter.gone} could not be delivered"
    return f"{text}. (A message to several of you counts once for each.)"


def _many(count: int) -> str:
    return "1 message" if count == 1 else f"{count} messages"


def _was(count: int) -> str:
    return "was" if count == 1 else "were"


def _domains(letter: Letter) -> str:
    shown = ", ".join(letter.domains[:5])
    return f"{shown} and {len(letter.domains) - 5} more domains" if len(letter.domains) > 5 else shown


def _moment(letter: Letter, at: float) -> str:
    """Saturday, 28 November 2026, 20:03 (Europe/Berlin)."""
    return f"{datetime.fromtimestamp(at, ZoneInfo(letter.timezone)):%A, %-d %B %Y, %H:%M} ({letter.timezone})"
