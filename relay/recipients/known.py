"""Whether a recipient exists, answered from memory on the event loop.

The list of a domain is loaded whole, in a thread, and again when it has changed. Before it has been loaded, and where
a list that must exist is empty, nothing is known; and what isn't known is never a reason to refuse for good.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from sqlalchemy import Connection

from relay import events
from relay.appliances.directory import Directory
from relay.appliances.model import Domain, RecipientPolicy
from relay.db import Database
from relay.recipients import lists
from relay.recipients.address import bases, mailbox
from relay.recipients.compact import Compact
from relay.recipients.learning import Learning
from relay.recipients.verdict import Verdict

__all__ = ["Recipients", "Verdict"]

AT_ONCE = 100
"""Domains whose lists are loaded in one transaction."""


@dataclass(frozen=True, slots=True)
class Known:
    """Who exists at one domain, at one version of its lists."""

    version: int
    mailboxes: Compact
    catch_all: bool

    def verdict(self, local: str, separators: str) -> Verdict:
        """Of a recipient with ``local`` before the @, as it was written. An extension belongs to its mailbox."""
        if self.catch_all:
            return Verdict.TAKEN
        if not self.mailboxes:
            return Verdict.UNDECIDED
        try:
            text = mailbox(local)
        except ValueError:
            return Verdict.UNKNOWN
        if text in self.mailboxes or any(base in self.mailboxes for base in bases(text, separators)):
            return Verdict.TAKEN
        return Verdict.UNKNOWN


RETRY = 1.0
"""Seconds after a look that failed."""
NOTHING = Known(0, Compact(()), catch_all=False)


class Recipients:
    """One for each node. ``learning``: for the domains whose primaries are asked; without it these take everybody."""

    def __init__(self, db: Database, directory: Directory, learning: Learning | None = None) -> None:
        self._learning = learning
        self._db = db
        self._directory = directory
        self._known: dict[int, Known] = {}

    async def refresh(self) -> bool:
        """Load the lists that changed; True if any did."""
        versions = await self._db.run(lists.versions)
        # A number may be given again to another domain, whose lists then have other versions.
        stale = [number for number in self._known if number not in versions]
        for number in stale:
            del self._known[number]
        changed = [number for number, version in versions.items() if self._of(number).version != version]
        for first in range(0, len(changed), AT_ONCE):
            some = {number: versions[number] for number in changed[first : first + AT_ONCE]}
            self._known |= await self._db.run(_load, some)
        return bool(stale or changed)

    async def load(self, domain: Domain) -> None:
        """Load the list of one domain alone: for those who are no node."""
        self._known |= await self._db.run(_load, {domain.id: 0})

    async def run(self) -> None:
        """Keep up with changes, until cancelled."""
        while True:
            seen = self._directory.snapshot.version
            try:
                await self.refresh()
            except Exception as error:  # the database is busy or away: what is known serves until it answers
                events.fault("recipients", error)
                await asyncio.sleep(RETRY)
                continue
            if self._directory.snapshot.version == seen:
                await self._directory.changed()

    def verdict(self, domain: Domain, local: str) -> Verdict:
        """Of the recipient with ``local`` before the @, as it was written."""
        if domain.recipients is RecipientPolicy.LEARNED and self._learning is not None:
            return self._learning.verdict(domain, local)
        if domain.recipients is not RecipientPolicy.LISTED:
            return Verdict.TAKEN
        return self._of(domain.id).verdict(local, domain.plus_addressing)

    def worth_asking(self, domain: Domain, local: str) -> bool:
        """Whether :meth:`ask` may learn more of a recipient than :meth:`verdict` knows."""
        if domain.recipients is not RecipientPolicy.LEARNED or self._learning is None:
            return False
        return self._learning.worth_asking(domain, local)

    async def ask(self, domain: Domain, local: str) -> Verdict:
        """Ask the primary; an answer, of it or of memory, comes within seconds."""
        assert self._learning is not None  # noqa: S101 - it was worth asking
        return await self._learning.ask(domain, local)

    def _of(self, domain_id: int) -> Known:
        return self._known.get(domain_id, NOTHING)


def _load(connection: Connection, versions: dict[int, int]) -> dict[int, Known]:
    """The lists of these domains, at these versions or newer ones."""
    found = {number: Known(version, Compact(()), catch_all=False) for number, version in versions.items()}
    for number, mailboxes, catch_all in lists.load(connection, list(versions)):
        found[number] = Known(versions[number], Compact(mailboxes), catch_all)
    return found
