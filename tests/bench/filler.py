"""A backlog, made through the real queue: what ``relayctl serve`` finds when it starts after three days of an outage.

Messages are accepted in groups, as a busy writer commits them, oldest first, their receipts spread evenly over
``DAYS``. Senders, recipients and Message-IDs are as varied as in mail, so that nothing that is searched for is found
at once; the content is one letter for all.
"""

from __future__ import annotations

import asyncio

from relay.appliances import store
from relay.appliances.model import Domain
from relay.clock import Clock
from relay.db import Database
from relay.mail import Client, Envelope, Recipient
from relay.queue.model import Incoming
from relay.queue.queue import Queue

DAYS = 3.0
GROUP = 500
"""Messages that are handed to the writer at once."""
SENDERS, PEOPLE = 20_000, 5_000
RECEIVED = b"Received: from source.example (source.example [192.0.2.7])\r\n\tby mx.gold.example with ESMTP;\r\n"


def fill(database: str, domain: str, messages: int, content: bytes) -> None:
    """Queue so many ``messages`` for a Gold domain of the ``database`` of this URL, whose node doesn't run."""
    asyncio.run(_fill(database, domain, messages, content))


async def _fill(database: str, domain: str, messages: int, content: bytes) -> None:
    db, clock = Database(database), Clock()
    with db.read() as connection:
        gold = store.get_domain(connection, domain)
    queue = Queue(db, clock, "filler", on_accept=lambda appliances: None)
    await queue.start()
    now = clock.now()
    try:
        for start in range(0, messages, GROUP):
            numbers = range(start, min(start + GROUP, messages))
            ages = (DAYS * 86400 * (messages - number) / messages for number in numbers)
            letters = (_letter(gold, number, now - age, content) for number, age in zip(numbers, ages, strict=True))
            await asyncio.gather(*map(queue.accept, letters))
    finally:
        await queue.close()
        db.close()


def _letter(domain: Domain, number: int, received_at: float, content: bytes) -> Incoming:
    recipient = Recipient(f"person{number * 7919 % PEOPLE}@{domain.name}")
    return Incoming(
        Envelope(f"sender{number * 104_729 % SENDERS}@source.example", (recipient,)),
        Client(f"192.0.2.{number % 250}", 25_000 + number % 40_000, "source.example"),
        received_at,
        RECEIVED,
        content,
        len(content),
        f"<{number}.{number * 31 % 9973}@source.example>",
        ((domain, (recipient,)),),
    )
