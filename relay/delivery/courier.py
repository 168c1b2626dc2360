"""One connection to a primary, and the messages that it carries.

Opens it, hands over what it is given, several messages deep, and says QUIT when there has been nothing for a few
seconds or nothing may be begun any more. Each parcel it is given is answered, put back, or given up, exactly once.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Protocol

from relay.appliances.model import Primary
from relay.delivery.contents import Contents
from relay.delivery.memory import Portion
from relay.delivery.poison import InFlight
from relay.delivery.route import Destination
from relay.errors import DatabaseError, LookupFailed, NotFound
from relay.mail import Envelope, Recipient
from relay.queue.content import PIECE, UPLOAD_ABOVE
from relay.queue.model import Outgoing
from relay.settings import Settings
from relay.smtp.connection import Connection
from relay.smtp.failure import Failure, Kind, Stage
from relay.smtp.transaction import Result

EVERYBODY = ("localhost", "localhost.localdomain")
"""Names that tell nobody from another: a machine whose own name isn't set up has no better one."""
OUR_LINE = 768
"""Octets that our Received line adds at most: to SIZE, and to what is held in memory."""


class Work(Protocol):
    """Who gives a courier its parcels, and takes what becomes of them."""

    async def next(self, courier: Courier) -> Outgoing | None:
        """The next parcel; None: go home."""

    def may_begin(self) -> bool:
        """Whether messages may still be begun."""

    def answered(self, courier: Courier, parcel: Outgoing, result: Result) -> None: ...

    def put_back(self, parcel: Outgoing) -> None:
        """It was not tried."""

    def gone(self, parcel: Outgoing) -> None:
        """It is in the queue no more."""

    def broke_down(self, parcel: Outgoing, error: BaseException) -> None:
        """This program failed at it."""


class Courier:
    """``slot``: its place among the connections of its lane, from 0. ``era``: of the ramp, when it was sent out."""

    def __init__(
        self,
        work: Work,
        slot: int,
        era: int,
        primary: Primary,
        destination: Destination,
        settings: Settings,
        contents: Contents,
        portion: Portion,
        in_flight: InFlight,
    ) -> None:
        self.slot = slot
        self.era = era
        self.primary = primary
        self.waiting = True
        """It has nothing to do, or not yet."""
        self.answered = 0
        """Messages that the primary has answered."""
        self.lost = 0
        """Messages whose answer was cut off."""
        self.timings: tuple[float, ...] = ()
        """Seconds that each reply took until the session had begun."""
        self._work = work
        self._destination = destination
        self._settings = settings
        self._contents = contents
        self._portion = portion
        self._in_flight = in_flight
        self._connection: Connection | None = None

    async def run(self) -> None:
        """Until there is nothing to do. Raises Failure where the connection couldn't be had, or broke."""
        connection = await open_connection(self._destination, self.primary, self._settings)
        self._connection = connection
        self.timings = tuple(timing.seconds for timing in connection.timings)
        try:
            while connection.usable:
                await connection.room()
                parcel = await self._work.next(self)
                if parcel is None:
                    break
                await self._hand_over(connection, parcel)
            if connection.failure is not None:
                raise connection.failure
            await connection.quit()
        finally:
            connection.close()

    @property
    def connected(self) -> bool:
        """Whether there is a session, in which messages may be in flight."""
        return self._connection is not None

    def close(self) -> None:
        """End the session at once; what is in flight is unknown."""
        if self._connection is not None:
            self._connection.close()

    async def _hand_over(self, connection: Connection, parcel: Outgoing) -> None:
        size = parcel.size + OUR_LINE
        weight = 2 * PIECE if size > UPLOAD_ABOVE else size
        await self._portion.take(weight)
        submitted = False
        try:
            content = await self._contents.of(parcel)
            if not connection.usable or not self._work.may_begin():
                self._work.put_back(parcel)
                return
            self._in_flight.add(parcel.id)
            future = connection.submit(
                self._envelope(parcel), content, len(content) if isinstance(content, bytes) else size
            )
            future.add_done_callback(partial(self._done, parcel, weight))
            submitted = True
        except NotFound:
            self._work.gone(parcel)
        except DatabaseError:
            self._work.put_back(parcel)
            raise
        except Exception as error:
            self._work.broke_down(parcel, error)
        finally:
            if not submitted:
                self._portion.give_back(weight)
                self._in_flight.discard(parcel.id)

    def _done(self, parcel: Outgoing, weight: int, future: asyncio.Future[Result]) -> None:
        self._portion.give_back(weight)
        self._in_flight.discard(parcel.id)
        error = future.exception()
        if isinstance(error, NotFound):
            self._work.gone(parcel)
        elif error is not None:
            self._work.broke_down(parcel, error)
        elif (result := future.result()).untried:
            self._work.put_back(parcel)
        else:
            self.lost += result.failure is not None and any(answer.local for answer in result.answers)
            self.answered += not all(answer.local for answer in result.answers)
            self._work.answered(self, parcel, result)

    def _envelope(self, parcel: Outgoing) -> Envelope:
        address = self._destination.address
        return Envelope(
            parcel.sender,
            tuple(Recipient(address(due), due.notify, due.orcpt) for due in parcel.recipients),
            parcel.body,
            parcel.smtputf8,
            parcel.ret,
            parcel.envid,
        )


async def open_connection(destination: Destination, primary: Primary, settings: Settings) -> Connection:
    """A session with a primary. Raises Failure, also where it turns out to be ourselves (RFC 5321 section 6.3)."""
    hostname = settings.node.hostname
    try:
        addresses = await destination.addresses(primary)
    except LookupFailed as error:
        raise Failure(Stage.CONNECT, Kind.DNS, str(error)) from error
    connection = await Connection.open(
        primary.host, primary.port, local_hostname=hostname, addresses=addresses, tls=settings.delivery.tls
    )
    ours, theirs = (name.lower().rstrip(".") for name in (hostname, connection.banner.text.split(" ", 1)[0]))
    if ours == theirs and ours not in EVERYBODY:
        await connection.quit()
        raise Failure(Stage.BANNER, Kind.PROTOCOL, f"{primary} is this relay itself: mail would loop")
    return connection
