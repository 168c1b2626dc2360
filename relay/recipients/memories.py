"""The memories of all learned domains of a node: loaded at its start, kept up to date, written down in groups.

Promises: what was learned outlives a restart but for the last two seconds; what other nodes and operators wrote is
taken in; a write that fails is tried again, and holds up nobody.
"""

from __future__ import annotations

import asyncio

from relay import events
from relay.appliances.directory import Directory
from relay.appliances.model import Domain, RecipientPolicy
from relay.db import Database
from relay.recipients import remembered
from relay.recipients.learned import Known
from relay.recipients.memory import Memory
from relay.recipients.remembered import Entry, Key

GROUP = 500
"""Recipients written in one transaction."""
PAUSE = 0.01
"""Seconds between two of them, for mail to be written in between."""


class Memories:
    """One for each node; used on the loop alone."""

    def __init__(self, db: Database, directory: Directory) -> None:
        self._db = db
        self._directory = directory
        self._memories: dict[int, Memory] = {}
        self._number: int | None = None  # of the last write that was read; None before the first
        self._version = -1
        self._loaded: set[Key] = set()
        self._names: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether any domain is learned."""
        return bool(self._memories)

    def of(self, domain: Domain) -> Memory:
        """What is known of a learned domain; one that is new knows nothing until it has been loaded."""
        memory = self._memories.get(domain.id)
        key = Key(domain.id, domain.created_at)
        if memory is None or memory.key != key:
            memory = self._memories[domain.id] = Memory(key)
        return memory

    def learned(self) -> list[Domain]:
        """The domains that are learned, as the directory has them."""
        domains = self._directory.snapshot.domains
        return [domains[name] for name in self._names if name in domains]

    async def refresh(self) -> None:
        """Load domains that are learned from now on, and take in what others wrote."""
        if self._version != self._directory.snapshot.version:
            self._notice()
        if self._number is None:
            latest = await self._db.run(remembered.latest)
            await self._load(None)
            self._loaded.update(memory.key for memory in self._memories.values())
            self._number = latest
        for memory in list(self._memories.values()):
            if memory.key not in self._loaded:
                await self._load(memory.key.domain_id)
                self._loaded.add(memory.key)
        while True:
            number, entries = await self._db.run(remembered.since, self._number)
            self._take(entries)
            self._number = number
            if len(entries) < remembered.PAGE:
                return

    async def write(self) -> None:
        """Write down what has changed. What can't be written now is kept for the next time, and no reason to fail."""
        while news := self._news():
            try:
                await self._db.change(remembered.write, news)
            except BaseException as error:
                self._keep(news)
                if not isinstance(error, Exception):
                    raise
                events.fault("recipients", error)
                return
            await asyncio.sleep(PAUSE)

    def _notice(self) -> None:
        """Make room for the domains that are learned now, and drop those that aren't."""
        snapshot = self._directory.snapshot
        self._version = snapshot.version
        wanted = {
            domain.id: domain for domain in snapshot.domains.values() if domain.recipients is RecipientPolicy.LEARNED
        }
        self._memories = {number: self.of(domain) for number, domain in wanted.items()}
        self._names = tuple(domain.name for domain in wanted.values())
        self._loaded &= {memory.key for memory in self._memories.values()}

    async def _load(self, domain_id: int | None) -> None:
        after: tuple[int, str] | None = None
        while entries := await self._db.run(remembered.page, after, domain_id):
            self._take(entries)
            after = (entries[-1].domain_id, entries[-1].local)

    def _take(self, entries: list[Entry]) -> None:
        for entry in entries:
            memory = self._memories.get(entry.domain_id)
            if memory is not None and entry.local not in memory.changed:
                memory.put(entry.local, entry.known)

    def _keep(self, news: dict[tuple[Key, str], Known | None]) -> None:
        for (key, local), known in news.items():
            memory = self._memories.get(key.domain_id)
            if memory is not None and memory.key == key:
                memory.changed.setdefault(local, known)

    def _news(self) -> dict[tuple[Key, str], Known | None]:
        news: dict[tuple[Key, str], Known | None] = {}
        for memory in self._memories.values():
            while memory.changed and len(news) < GROUP:
                local, known = memory.changed.popitem()
                news[memory.key, local] = known
        return news
