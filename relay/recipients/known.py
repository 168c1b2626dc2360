"""Whether a recipient exists, answered from memory on the event loop.

The lists are loaded whole and replaced when they change. Before they have been loaded, and where a list that must
exist is empty, nothing is known; and what isn't known is never a reason to refuse for good.
"""

from __future__ import annotations

from relay.appliances.directory import Directory
from relay.appliances.model import Domain, RecipientPolicy
from relay.db import Database
from relay.recipients import lists
from relay.recipients.learning import Learning
from relay.recipients.verdict import Verdict

__all__ = ["Recipients", "Verdict"]


class Recipients:
    """One for each node. ``learning``: for the domains whose primaries are asked; without it these take everybody."""

    def __init__(self, db: Database, directory: Directory, learning: Learning | None = None) -> None:
        self._learning = learning
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
        if domain.recipients is RecipientPolicy.LEARNED and self._learning is not None:
            return self._learning.verdict(domain, local)
        if domain.recipients is not RecipientPolicy.LISTED:
            return Verdict.TAKEN
        listed = self._lists.get(domain.id)
        if not listed:
            return Verdict.UNDECIDED
        local = local.lower()
        if local in listed or local.partition("+")[0] in listed:
            return Verdict.TAKEN
        return Verdict.UNKNOWN

    def worth_asking(self, domain: Domain, local: str) -> bool:
        """Whether :meth:`ask` may learn more of a recipient than :meth:`verdict` knows."""
        if domain.recipients is not RecipientPolicy.LEARNED or self._learning is None:
            return False
        return self._learning.worth_asking(domain, local)

    async def ask(self, domain: Domain, local: str) -> Verdict:
        """Ask the primary; an answer, of it or of memory, comes within seconds."""
        assert self._learning is not None  # noqa: S101 - it was worth asking
        return await self._learning.ask(domain, local)
