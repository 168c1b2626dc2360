"""The loop that hears what people do in the helpdesk; one in a cluster, beside the outbox."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from sqlalchemy import Connection

from relay import events
from relay.clock import Clock
from relay.db import Database
from relay.errors import HelpdeskDown, NotFound, Refused
from relay.tickets import contact, heard
from relay.tickets.helpdesks.helpdesk import Heard, Helpdesk, Word

PATIENCE = 60.0
"""Seconds that one look may take."""
LISTEN_FOR = 30 * 86400.0
"""Seconds after its resolution for which we still hear what is said about a ticket."""


class Hearing:
    """``interval``: seconds between looks. ``may``: whether it is this node's turn."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        helpdesk: Helpdesk,
        interval: float,
        *,
        may: Callable[[], bool] = lambda: True,
    ) -> None:
        self._db = db
        self._clock = clock
        self._helpdesk = helpdesk
        self._interval = interval
        self._may = may
        self._failing = ""

    def reconfigure(self, helpdesk: Helpdesk, interval: float) -> None:
        self._helpdesk = helpdesk
        self._interval = interval

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            helpdesk = self._helpdesk
            try:
                if self._may():
                    async with asyncio.timeout(PATIENCE):
                        await self.listen()
                self._failing = ""
            except Exception as error:
                await self._failed(helpdesk, error)
            await asyncio.sleep(self._interval)

    async def listen(self) -> list[Word]:
        """Hear what was done since the last time and carry it out; returns what was new. Raises HelpdeskError."""
        helpdesk, now = self._helpdesk, self._clock.now()
        at = await self._db.run(contact.load, helpdesk.name, helpdesk.url)
        if not at.takes_messages(now):
            return []
        tickets = await self._db.run(heard.references, now - LISTEN_FOR)
        said = await helpdesk.hear(at.cursor, tickets, await self._db.run(heard.lately))
        if not said.cursor:  # it wasn't asked: it tells us by itself, or has nobody to hear
            return []
        if not said.words and said.cursor == at.cursor and not at.trouble:
            return []
        new = await self._db.change(_take_all, helpdesk, said, self._clock.now())
        for word in new:
            events.helpdesk_heard(helpdesk.name, str(word.act), word.ticket_id, word.actor)
        return new

    async def _failed(self, helpdesk: Helpdesk, error: Exception) -> None:
        """Nothing is lost: the cursor stays where it was. Said once, until it changes."""
        text = str(error) or type(error).__name__
        if text == self._failing or helpdesk is not self._helpdesk:
            return
        self._failing = text
        events.helpdesk_unheard(helpdesk.name, text)
        if isinstance(error, HelpdeskDown):
            try:
                await self._db.change(_note, helpdesk, error, self._clock.now())
            except Exception as fault:  # a busy database; it is found out again
                events.fault("helpdesk", fault)
                self._failing = ""


def _note(connection: Connection, helpdesk: Helpdesk, error: HelpdeskDown, now: float) -> None:
    """For ``status``, and for the outbox, which needn't find it out itself."""
    contact.save(connection, contact.load(connection, helpdesk.name, helpdesk.url).lost(error, now, 1.0))


def _take_all(connection: Connection, helpdesk: Helpdesk, said: Heard, now: float) -> list[Word]:
    """The words and the cursor are one transaction: what is behind it has been carried out."""
    new = []
    for word in said.words:
        try:
            if heard.take(connection, word, now) is not None:
                new.append(word)
        except (NotFound, Refused) as error:
            events.helpdesk_unheard(helpdesk.name, str(error))
            heard.remember(connection, word.id, now)
    at = contact.load(connection, helpdesk.name, helpdesk.url)
    contact.save(connection, replace(at.reached(now), cursor=said.cursor))
    return new
