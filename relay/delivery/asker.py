"""Asks primaries whether they would take mail for somebody: RCPT and no DATA, from the null sender.

For each host one connection is kept for a few seconds after an answer, so that the next question costs one round trip
and not a TLS handshake. Promises: every session ends with QUIT wherever the primary is there to hear it, and after few
refusals, for servers count them; one that stops answering is probed at once.
"""

from __future__ import annotations

import asyncio

from relay.appliances.directory import Directory
from relay.appliances.model import Domain, Primary
from relay.appliances.mx import Endpoints
from relay.appliances.pulse import Pulse
from relay.delivery.courier import open_connection
from relay.delivery.route import Destination
from relay.mail import Reply
from relay.settings import Delivery, Settings
from relay.smtp.connection import Connection
from relay.smtp.failure import Failure, Kind, Stage

KEPT = 4.0
"""Seconds that a connection waits for the next question. Servers wait far longer, so that they seldom end it first."""
TOGETHER = 2
"""Connections to one appliance."""
REFUSALS = 5
"""Recipients refused in one session. Postfix, for one, slows down after ten errors and hangs up after twenty."""


class _Line:
    """A connection, how often it was told no, and the timer that ends it while it isn't used."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.refusals = 0
        self.timer: asyncio.TimerHandle | None = None


class Asker:
    """One for each node."""

    def __init__(self, settings: Settings, directory: Directory, endpoints: Endpoints, pulse: Pulse) -> None:
        self._settings = settings
        self._directory = directory
        self._endpoints = endpoints
        self._pulse = pulse
        self._turns: dict[int, asyncio.Semaphore] = {}
        self._kept: dict[Primary, _Line] = {}
        self._goodbyes: set[asyncio.Task[None]] = set()

    def reconfigure(self, delivery: Delivery) -> None:
        """Take changed settings, for connections that are opened from now on."""
        self._settings = self._settings.model_copy(update={"delivery": delivery})

    async def ask(self, domain: Domain, address: str) -> Reply | None:
        """The primary's reply to RCPT; None where it gives none. To be cancelled when it takes too long."""
        turn = self._turns.setdefault(domain.appliance_id, asyncio.Semaphore(TOGETHER))
        destination = Destination(domain.appliance_id, self._directory, self._endpoints, self._pulse)
        async with turn:
            for primary in (await destination.route(domain.name)).primaries:
                try:
                    return await self._ask(destination, primary, address)
                except Failure as failure:
                    if failure.kind is not Kind.LOCAL and not failure.answered:
                        destination.suspect()
        return None

    async def close(self) -> None:
        """Say goodbye."""
        for primary in list(self._kept):
            self._let_go(primary)
        await asyncio.gather(*self._goodbyes, return_exceptions=True)

    async def _ask(self, destination: Destination, primary: Primary, address: str) -> Reply | None:
        line = self._kept.pop(primary, None)
        if line is not None:
            if line.timer is not None:
                line.timer.cancel()
            try:
                return await self._put(line, primary, address)
            except Failure:
                pass  # it was ended while nobody asked anything: servers do that
        return await self._put(_Line(await open_connection(destination, primary, self._settings)), primary, address)

    async def _put(self, line: _Line, primary: Primary, address: str) -> Reply | None:
        try:
            stage, reply = await line.connection.ask_recipient(address)
        except BaseException:
            line.connection.close()
            raise
        line.refusals += reply.permanent
        if primary in self._kept or line.refusals >= REFUSALS or not line.connection.usable:
            self._say_goodbye(line)
        else:
            self._kept[primary] = line
            line.timer = asyncio.get_running_loop().call_later(KEPT, self._let_go, primary)
        return reply if stage is Stage.RCPT else None

    def _let_go(self, primary: Primary) -> None:
        line = self._kept.pop(primary)
        if line.timer is not None:
            line.timer.cancel()
        self._say_goodbye(line)

    def _say_goodbye(self, line: _Line) -> None:
        """While nobody waits for it."""
        task = asyncio.create_task(line.connection.say_goodbye())
        self._goodbyes.add(task)
        task.add_done_callback(self._goodbyes.discard)
