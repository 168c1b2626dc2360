"""An outbox, a step at a time: what is due now, and nothing by itself."""

from __future__ import annotations

import asyncio
from typing import Self

from relay.hours import Calendar
from relay.tickets.outbox import Outbox
from relay.tickets.plan import Terms

ALWAYS = Terms(Calendar.parse("always", "UTC", ""))


async def once(outbox: Outbox) -> int:
    """Begin what is due now, and see it through."""
    begun = await outbox.begin_due()
    await asyncio.gather(*begun)
    return len(begun)


async def drain(outbox: Outbox) -> None:
    while await once(outbox):
        pass


class Posting:
    """``outbox``, closed at the end."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.outbox.close()

    async def once(self) -> int:
        return await once(self.outbox)

    async def all(self) -> None:
        await drain(self.outbox)
