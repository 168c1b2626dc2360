"""The numbers of messages in a database that was restored from a backup: those given since are known to others.

Primaries, logs and senders' servers have them; none may mean another message now. Works inside the caller's
transaction.
"""

from __future__ import annotations

from sqlalchemy import Connection, update

from relay.queue.tables import incoming, numbers

FASTEST = 10_000
"""Messages a second that no cluster takes day and night."""
ROUND = 1_000_000


def skip(connection: Connection, seconds: float) -> None:
    """Leave out the numbers that may have been given in the last ``seconds``; uploads that were under way are over."""
    given = int(max(0.0, seconds) * FASTEST)
    skipped = numbers.c.message + given
    connection.execute(update(numbers).values(message=skipped - skipped % ROUND + ROUND))
    # Whatever node begins first removes them as those of a day ago.
    connection.execute(update(incoming).values(began_at=0.0))
