"""One message to one target, whatever carries it, and where that leads: plain frozen values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Message:
    """The first line of ``text`` says everything, ``title`` the same in fewer words.

    ``key``: the same whenever it is sent again; ``thread``: the ticket's. ``pages``: worth to wake somebody; ``ends``:
    the ticket is no concern of theirs any more.
    """

    title: str
    text: str
    key: str
    thread: str
    pages: bool = False
    ends: bool = False


@dataclass(frozen=True, slots=True)
class Reach:
    """The mail ``addresses`` that a target writes to, and the host that it hands mail to (empty: it is no mail)."""

    addresses: frozenset[str] = frozenset()
    server: str = ""
