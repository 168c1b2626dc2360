"""What status and ticket show say of the helpdesk: whether it takes messages, and what it hasn't been told."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from cli.render import at, clock_time, plural, span
from relay.settings import Helpdesk as Settings
from relay.tickets import contact, telling
from relay.tickets.contact import Contact

LATE = 900.0
"""Seconds that a message may wait before ``doctor`` says so."""


def stand(connection: Connection, settings: Settings) -> Contact:
    return contact.load(connection, settings.kind, settings.url if settings.kind != "embedded" else "")


def facts(connection: Connection, settings: Settings, ticket_id: int | None = None) -> dict[str, Any]:
    """For scripts: of one ticket, or of all."""
    found, known = telling.waiting(connection, ticket_id), stand(connection, settings)
    return {
        "kind": settings.kind,
        "trouble": known.trouble or None,
        "trouble_since": at(known.trouble_since),
        "disabled": known.disabled,
        "waiting": found.messages,
        "oldest_at": at(found.oldest_at),
        "attempts": found.attempts,
        "last_error": found.last_error,
        "next_attempt_at": at(_next(found, known)),
    }


def untold(connection: Connection, settings: Settings, now: float, ticket_id: int) -> str:
    """What a ticket's helpdesk hasn't been told yet, and why; empty where it knows everything."""
    found, known = telling.waiting(connection, ticket_id), stand(connection, settings)
    if not found.messages or found.oldest_at is None:
        return ""
    text = f"{plural(found.messages, 'message')} not told yet, the first since {clock_time(found.oldest_at)}"
    if why := found.last_error or known.trouble:
        tries = f" ({plural(found.attempts, 'try', 'tries')})" if found.attempts else ""
        text += f"\n{settings.kind} {why}{tries}"
    if known.disabled:
        return f"{text}\nnothing is sent any more: 'relayctl doctor' says what to do"
    again = _next(found, known)
    return f"{text}\nnext try in {span(again - now)}" if again is not None and again > now else text


def trouble(connection: Connection, settings: Settings, now: float) -> str:
    """One line for ``status``; empty where all is well."""
    found, known = telling.waiting(connection), stand(connection, settings)
    late = found.oldest_at is not None and now - found.oldest_at > LATE
    why = known.trouble or (found.last_error if late else "")
    if not why and not late:
        return ""
    since = known.trouble_since or found.oldest_at or now
    many = f"; {plural(found.messages, 'message')} wait" if found.messages else ""
    return f"helpdesk {settings.kind}: {why or 'is not told'} for {span(now - since)}{many}"


def _next(found: telling.Waiting, known: Contact) -> float | None:
    if known.disabled or found.next_attempt_at is None:
        return None
    return max(found.next_attempt_at, known.retry_at)
