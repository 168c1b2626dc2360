"""What status and doctor say of the relay's own database: when it was last saved, whether it was restored lately."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from cli.render import at, clock_time, size, span
from relay.backup.record import Made, last_restore, last_sound
from relay.settings import Backup as Settings

LATELY = 7 * 86400.0
"""Seconds for which it is said that a database was restored."""
REMEDY = "'relayctl db backup FOLDER --keep 7', every night: deploy/relay-backup.timer; or [backup] max_age"


def facts(connection: Connection, now: float) -> dict[str, Any] | None:
    """For scripts; None where no sound backup is known."""
    made = last_sound(connection)
    if made is None:
        return None
    return {"made_at": at(made.made_at), "age_seconds": max(0, round(now - made.made_at)), "place": made.place}


def evidence(made: Made | None, now: float) -> str:
    if made is None:
        return "no backup of this database is known"
    return f"the last backup of this database is {span(now - made.made_at)} old: {made.place}, {size(made.size)}"


def overdue(made: Made | None, settings: Settings, now: float) -> bool:
    return bool(settings.max_age) and (made is None or now - made.made_at > settings.max_age)


def brief(connection: Connection, settings: Settings, now: float) -> str:
    """For the first line of status; empty where somebody else saves it."""
    made = last_sound(connection)
    if made is not None:
        return f"last backup {span(now - made.made_at)} ago"
    return "no backup known" if settings.max_age else ""


def restored(connection: Connection, now: float) -> str:
    """What its mail may lack, for a week; empty where it wasn't restored lately."""
    last = last_restore(connection)
    if last is None or now - last.restored_at >= LATELY:
        return ""
    return (
        f"this database was restored {span(now - last.restored_at)} ago, by {last.restored_by}: what was accepted or "
        f"delivered between {clock_time(last.made_at)} and then isn't known here"
    )
