"""One connection to a sender's own server, and the reports that it carries.

Where that is, the MX of the sender's domain says; for a Gold domain its appliance. Only hosts that the DNS strictly
prefers to us are used, and none that turns out to be us; a domain with a null MX takes no mail (RFC 7505). A stranger
isn't told of clients, and gets content by DATA, which every server knows. TLS is used where it is offered: a stranger's
certificate proves nothing to us, and a report in the clear is better than none.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from relay.appliances.model import Primary
from relay.delivery.courier import open_connection
from relay.delivery.route import Stranger
from relay.errors import RelayError
from relay.mail import NULL_SENDER, Envelope, Recipient, Reply
from relay.settings import Settings
from relay.smtp.connection import Connection
from relay.smtp.dialogue import Extension
from relay.smtp.failure import Failure

HOSTS = 4
"""Hosts of a domain that are tried at a time."""
OPEN_WITHIN = 60.0
"""Seconds for a session with one of them to begin."""
SEND_WITHIN = 660.0
"""Seconds for a report: those for the reply to the dot (RFC 5321 4.5.3.2.6), and a minute more."""


class Unreachable(RelayError):
    """Nobody there takes mail; ``reply`` says whether that is for good."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


class Session:
    """Made by :func:`session`."""

    def __init__(self, connection: Connection, host: str) -> None:
        self._connection = connection
        self._host = host

    @property
    def usable(self) -> bool:
        """Whether another report may be sent."""
        return self._connection.usable

    async def send(self, recipient: str, content: bytes) -> Reply:
        """What was answered; what broke off is temporary."""
        # NOTIFY: no report about a report (RFC 3461 6.1).
        wide = not recipient.isascii()
        body = "7BIT" if content.isascii() else "8BITMIME"
        envelope = Envelope(NULL_SENDER, (Recipient(recipient, notify="NEVER"),), body, smtputf8=wide)
        try:
            async with asyncio.timeout(SEND_WITHIN):
                result = await self._connection.send(envelope, content)
        except TimeoutError:
            self._connection.close()
            return Reply(451, "4.4.2", f"{self._host} took too long")
        except ValueError as error:
            return Reply(553, "5.1.3", f"no command can hold the address: {error}")
        return result.answers[0].reply


@asynccontextmanager
async def session(to: Stranger, settings: Settings) -> AsyncIterator[Session]:
    """A session with the first host that has us; ended when the block is left. Raises Unreachable."""
    route = await to.route(to.domain)
    if not route.primaries:
        raise Unreachable(Reply(556, "5.1.10", route.problem) if route.null else Reply(451, "4.4.4", route.problem))
    connection, host = await _open(to, route.primaries, settings)
    try:
        yield Session(connection, host)
        if connection.usable:
            await connection.say_goodbye()
    finally:
        connection.close()


async def _open(to: Stranger, hosts: Sequence[Primary], settings: Settings) -> tuple[Connection, str]:
    why = "no host"
    for host in hosts[:HOSTS]:
        try:
            async with asyncio.timeout(OPEN_WITHIN):
                return await open_connection(to, host, settings, tuple(Extension)), host.host
        except Failure as failure:
            why = f"{host}: {failure}"
        except TimeoutError:
            why = f"{host}: no session within {OPEN_WITHIN:.0f} s"
    raise Unreachable(Reply(451, "4.4.1", why))
