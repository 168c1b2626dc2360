"""Whether a recipient exists, answered from memory on the event loop.

The lists are loaded whole and replaced when they change. Before they have been loaded, and where a list that must
exist is empty, nothing is known; and what isn't known is never a reason to refuse for good.
"""

from __future__ import annotations

from enum import StrEnum

from relay.appliances.directory import Directory
from relay.appliances.model import Domain, RecipientPolicy
from relay.db import Database
from relay.recipients import lists


class Verdict(StrEnum):
    """What is known of a recipient."""

    TAKEN = "taken"
    UNKNOWN = "unknown"
    UNDECIDED = "undecided"


class Recipients:
    """One for each node."""

    def __init__(self, db: Database, directory: Directory) -> None:
        self._db = db
        self._directory = directory
        self._version = 0
        self._lists: dict[int, set[str]] = {}

    async def refresh(self) -> bool:
        """Reload the lists if they changed; True if they did."""
        loaded = await self._db.run(lists.load, self._version)
        if loaded is None:
            return False
        self._version, self._lists = loaded
        return True

    async def run(self) -> None:
        """Keep up with changes, until cancelled."""
        while True:
            seen = self._directory.snapshot.version
            await self.refresh()
            if self._directory.snapshot.version == seen:
                await self._directory.changed()

    def verdict(self, domain: Domain, local: str) -> Verdict:
        """Of the recipient with ``local`` before the @. An extension (``info+shop``) belongs to its ``info``."""
        if domain.recipients is not RecipientPolicy.LISTED:
            return Verdict.TAKEN
        listed = self._lists.get(domain.id)
        if not listed:
            return Verdict.UNDECIDED
        local = local.lower()
        if local in listed or local.partition("+")[0] in listed:
            return Verdict.TAKEN
        return Verdict.UNKNOWN
