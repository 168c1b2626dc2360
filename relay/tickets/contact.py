"""How we stand with the helpdesk: whether it takes messages, since when it doesn't and why, and when it is asked again.

The decisions are pure; the row is read and written in the caller's transaction. A helpdesk at another address begins
anew.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from sqlalchemy import Connection, insert, select, update

from relay.errors import HelpdeskDown, HelpdeskGone
from relay.tickets.tables import helpdesks

FIRST_DELAY, LAST_DELAY = 5.0, 300.0
LONGEST_WAIT = 86400.0
"""Seconds that a helpdesk may ask us to stay away."""


@dataclass(frozen=True, slots=True)
class Contact:
    """``cursor``: how far we have heard what people did there. ``trouble``: empty where there is none."""

    name: str
    url: str
    cursor: str = ""
    trouble: str = ""
    trouble_since: float | None = None
    failures: int = 0
    retry_at: float = 0.0
    disabled: bool = False
    reached_at: float | None = None

    def takes_messages(self, now: float) -> bool:
        return not self.disabled and now >= self.retry_at

    def reached(self, now: float) -> Contact:
        """It took a message, or said no to one: it is there."""
        return replace(self, trouble="", trouble_since=None, failures=0, retry_at=0.0, disabled=False, reached_at=now)

    def lost(self, error: HelpdeskDown | HelpdeskGone, now: float, spread: float) -> Contact:
        """It takes no message now. ``spread``: see :func:`delay`."""
        wait = error.wait if isinstance(error, HelpdeskDown) else None
        failures = self.failures + 1
        pause = delay(failures, spread) if wait is None else min(max(wait, 1.0), LONGEST_WAIT)
        return replace(
            self,
            trouble=str(error),
            trouble_since=now if self.trouble_since is None else self.trouble_since,
            failures=failures,
            retry_at=now + pause,
            disabled=isinstance(error, HelpdeskGone),
        )


def delay(failures: int, spread: float = 1.0) -> float:
    """Seconds to wait after that many failures in a row: 5, 10, 20 … 300, times ``spread`` (0.5 to 1: from whoever
    draws lots, so that many don't come back all at once)."""
    return min(FIRST_DELAY * 2.0 ** min(failures - 1, 10), LAST_DELAY) * spread


def load(connection: Connection, name: str, url: str) -> Contact:
    """As it stands; one at another address than the last time is a new one."""
    row = connection.execute(select(helpdesks).where(helpdesks.c.name == name, helpdesks.c.url == url)).first()
    return Contact(name, url) if row is None else Contact(**row._mapping)


def save(connection: Connection, contact: Contact) -> None:
    values = asdict(contact)
    if not connection.execute(update(helpdesks).where(helpdesks.c.name == contact.name).values(values)).rowcount:
        connection.execute(insert(helpdesks).values(values))


def ask_again(connection: Connection, name: str, url: str) -> None:
    """Somebody has looked after it: ask at once, also one that wanted no more messages."""
    contact = load(connection, name, url)
    save(connection, replace(contact, retry_at=0.0, disabled=False, failures=0))
