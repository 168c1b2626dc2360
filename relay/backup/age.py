"""How old the last backup of the database is, for metrics; ``relayctl status`` and ``doctor`` read the record."""

from __future__ import annotations

import asyncio

from relay import events
from relay.backup.record import last_sound
from relay.db import Database
from relay.errors import DatabaseError

LOOK = 60.0


class Age:
    """One for each node."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def run(self) -> None:
        """Look every minute; a moment and not an age is told, which nobody has to renew."""
        while True:
            try:
                made = await self._db.run(last_sound)
                events.last_backup(made.made_at if made else 0.0)
            except DatabaseError as error:
                events.fault("backup", error)
            await asyncio.sleep(LOOK)
