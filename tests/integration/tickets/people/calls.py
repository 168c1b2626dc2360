"""Those who tell people, a turn at a time, of the tickets of ``office``."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from relay.settings import load
from relay.tickets.people.book import Book
from relay.tickets.people.people import People
from relay.tickets.people.threads import Threads
from relay.tickets.plan import Terms
from tests.integration.tickets.conftest import Desk

DAY = 86400.0
LONG_ENOUGH = 400.0
"""Seconds after which every pause of ours is over."""


def book_of(folder: Path, text: str) -> tuple[Book, Terms]:
    """What relay.toml says."""
    path = folder / "notify.toml"
    path.write_text(text)
    settings = load(path)
    return Book.of(settings), Terms.of(settings.support)


class Calls:
    """``text``: [notify] and what belongs to it, as in relay.toml."""

    def __init__(self, office: Desk, folder: Path, text: str, patience: float = 20.0) -> None:
        self.office = office
        self.people = People(office.db, office.clock, *book_of(folder, text), threads=Threads(patience))

    async def turn(self) -> int:
        """Begin what is due, and see it through."""
        begun = await self.people.turn()
        await asyncio.gather(*begun)
        return len(begun)

    async def drain(self) -> None:
        while await self.turn():
            pass

    async def later(self, seconds: float = LONG_ENOUGH) -> None:
        """Time passes, and all that is due then is sent."""
        self.office.now += seconds
        await self.drain()


def outcomes(office: Desk, target: str = "") -> list[tuple[Any, ...]]:
    """(kind, outcome) of all notices, or of a target's, oldest first."""
    rows = office.rows("SELECT target, kind, outcome FROM notices ORDER BY id")
    return [(kind, outcome) for name, kind, outcome in rows if target in ("", name)]


def rule(name: str, urls: Iterable[str], **more: Any) -> str:
    """One in relay.toml's words."""
    lines = [f'name = "{name}"', f"urls = [{', '.join(_quoted(url) for url in urls)}]"]
    lines += [f"{key} = {_quoted(value)}" for key, value in more.items()]
    return "\n".join(["[[notify.rules]]", *lines, ""])


def _quoted(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, Sequence):
        return f"[{', '.join(map(_quoted, value))}]"
    return str(value).lower()
