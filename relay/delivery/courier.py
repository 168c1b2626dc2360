"""One connection to a primary, and the messages that it carries.

Opens it, hands over what it is given, several messages deep, and says QUIT when there has been nothing for a few
seconds or nothing may be begun any more. Each parcel it is given is answered, put back, or given up, exactly once.

Where the primary wants to judge original clients (XCLIENT) each session speaks for one at a time; a message of another
one waits until it may, or, where a session may say it only once (Postfix), gets a session of its own. So a session
prefers mail of the client that it speaks for. A no to that, or to BDAT where CHUNKING is offered, costs a new session
and never a message.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Collection
from functools import partial
from typing import Protocol, TypeAlias

from relay import events
from relay.appliances.model import Primary
from relay.delivery.contents import Contents
from relay.delivery.flaws import Flaws
from relay.delivery.memory import Portion
from relay.delivery.poison import InFlight
from relay.delivery.route import Destination
from relay.errors import DatabaseError, LookupFailed, NotFound
from relay.mail import Client, Envelope, Recipient
from relay.queue.content import PIECE, RECEIVED_ROOM, UPLOAD_ABOVE
from relay.queue.model import Outgoing
from relay.settings import Settings
from relay.smtp.connection import Connection
from relay.smtp.dialogue import Extension
from relay.smtp.failure import Failure, Kind, Stage
from relay.smtp.origin import TEMPUNAVAIL, Origin
from relay.smtp.transaction import Result

EVERYBODY = ("localhost", "localhost.localdomain")
"""Names that tell nobody from another: a machine whose own name isn't set up has no better one."""

_UNSAID = {
    "auto": (),
    "xforward": (Extension.XCLIENT,),
    "none": (Extension.XCLIENT, Extension.XFORWARD),
}
"""What ``[delivery] client`` leaves unused."""

_Who: TypeAlias = tuple[str, str, str]


class Work(Protocol):
    """Who gives a courier its parcels, and takes what becomes of them."""

    async def next(self, courier: Courier) -> Outgoing | None:
        """The next parcel; None: go home."""

    def may_begin(self) -> bool:
        """Whether messages may still be begun."""

    def answered(self, courier: Courier, parcel: Outgoing, result: Result) -> None: ...

    def put_back(self, courier: Courier, parcel: Outgoing) -> None:
        """It was not tried."""

    def gone(self, courier: Courier, parcel: Outgoing) -> None:
        """It is in the queue no more."""

    def broke_down(self, courier: Courier, parcel: Outgoing, error: BaseException) -> None:
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
        flaws: Flaws,
    ) -> None:
        self.slot = slot
        self.era = era
        self.sent_at = 0.0
        """Monotonic seconds."""
        self.arrived = False
        """It has had a session."""
        self.leaving = False
        """It takes nothing more."""
        self.primary = primary
        self.waiting = True
        """It has nothing to do, or not yet."""
        self.answered = 0
        """Messages that the primary has answered."""
        self.lost = 0
        """Messages whose answer was cut off."""
        self.errors = 0
        """Refusals in a row, as a server counts them, since it last took a message."""
        self.timings: tuple[float, ...] = ()
        """Seconds that each reply took until the session had begun."""
        self._work = work
        self._destination = destination
        self._settings = settings
        self._contents = contents
        self._portion = portion
        self._in_flight = in_flight
        self._flaws = flaws
        self._connection: Connection | None = None
        self._kept: Outgoing | None = None  # for the next session
        self._refused: set[_Who] = set()  # clients whom the primary wouldn't take a session for
        self._ipv4_alone = False  # nor for any by IPv6

    async def run(self) -> None:
        """Until there is nothing to do. Raises Failure where a connection couldn't be had, or broke."""
        try:
            while await self._session():
                pass
        finally:
            if self._kept is not None:
                self._work.put_back(self, self._kept)

    async def _session(self) -> bool:
        """One session; True: begin another one at once."""
        left_unused = self._flaws.of(self.primary)
        connection = await open_connection(self._destination, self.primary, self._settings, left_unused)
        self._connection, self.arrived = connection, True
        self.timings += tuple(timing.seconds for timing in connection.timings)
        try:
            while connection.usable:
                await connection.room()
                parcel, self._kept = self._kept or await self._work.next(self), None
                if parcel is None:
                    break
                self._kept = parcel
                if not await self._introduced(connection, parcel):
                    break
                self._kept = None
                await self._hand_over(connection, parcel)
            if (refusal := connection.unwelcome) is not None:
                self._leave_unused(Extension.XFORWARD, str(refusal))
            if (failure := connection.failure) is not None and not self._explained(connection, failure):
                raise failure
            await connection.quit()
            return self._work.may_begin() and (self._kept is not None or failure is not None)
        except DatabaseError:
            await connection.quit()  # what it carries gets its answers: cut off now it would be brought again
            raise
        finally:
            self._connection = None
            connection.close()

    def _explained(self, connection: Connection, failure: Failure) -> bool:
        """Whether it has ended because of what we shouldn't have used, and that is all there is to it."""
        if connection.misled and self._work.may_begin():  # else it may be us who have cut it off
            self._leave_unused(Extension.CHUNKING, str(failure))
            return failure.kind is Kind.PROTOCOL
        return self._kept is not None and failure.stage is Stage.QUIT

    def _leave_unused(self, extension: Extension, reason: str) -> None:
        if self._flaws.failed(self.primary, extension):
            events.extension_left_unused(self._destination.name, str(self.primary), extension, reason)

    async def _introduced(self, connection: Connection, parcel: Outgoing) -> bool:
        """Whether the session may carry the parcel: it is ours, or its client's. False: another session may."""
        who = _who(parcel.client)
        spoken_for = _who(connection.speaks_for) if connection.speaks_for else None
        refused = who in self._refused or (self._ipv4_alone and parcel.client.ipv6)
        if spoken_for == who or (spoken_for is None and (refused or not connection.offers.xclient)):
            return True
        if refused or not connection.offers.xclient:
            return False
        await connection.room(1)
        try:
            await connection.speak_for(await self._origin(connection, parcel))
        except Failure as failure:
            if failure.reply is None:
                raise
            self._refused.add(who)
            if failure.reply.code != 501:  # which is about this client: his address, in a Postfix without IPv6
                self._leave_unused(Extension.XCLIENT, str(failure))
            self._ipv4_alone |= failure.reply.code == 501 and parcel.client.ipv6
            return False
        self._flaws.worked(self.primary, Extension.XCLIENT)
        return True

    async def _origin(self, connection: Connection, parcel: Outgoing) -> Origin:
        """For XCLIENT: with the names that the DNS has for the client, as servers look them up for who connects."""
        # One session carries what came through several ports; the one of the first message says nothing of the others.
        origin = Origin(dataclasses.replace(parcel.client, port=0), str(parcel.id))
        if not {"NAME", "REVERSE_NAME"}.intersection(connection.offers.xclient):
            return origin
        try:
            name, reverse_name = await self._destination.client_names(origin.client.ip)
        except LookupFailed:
            name = reverse_name = TEMPUNAVAIL
        return dataclasses.replace(origin, name=name, reverse_name=reverse_name)

    @property
    def preferred(self) -> Callable[[Outgoing], bool] | None:
        """What it would rather have next; None where that makes no difference."""
        client = self._connection.speaks_for if self._connection else None
        if client is None:
            return None
        who = _who(client)
        return lambda parcel: _who(parcel.client) == who

    @property
    def connected(self) -> bool:
        """Whether there is a session, in which messages may be in flight."""
        return self._connection is not None

    def close(self) -> None:
        """End the session at once; what is in flight is unknown."""
        if self._connection is not None:
            self._connection.close()

    async def _hand_over(self, connection: Connection, parcel: Outgoing) -> None:
        size = parcel.size + RECEIVED_ROOM
        weight = 2 * PIECE if size > UPLOAD_ABOVE else size
        await self._portion.take(weight)
        submitted = False
        try:
            content = await self._contents.of(parcel)
            if not connection.usable or not self._work.may_begin():
                self._work.put_back(self, parcel)
                return
            self._in_flight.add(parcel.id)
            future = connection.submit(
                self._envelope(parcel),
                content,
                len(content) if isinstance(content, bytes) else size,
                Origin(parcel.client, str(parcel.id)),
            )
            future.add_done_callback(partial(self._done, parcel, weight, connection.speaks_for is not None))
            submitted = True
        except NotFound:
            self._work.gone(self, parcel)
        except DatabaseError:
            self._work.put_back(self, parcel)
            raise
        except Exception as error:
            self._work.broke_down(self, parcel, error)
        finally:
            if not submitted:
                self._portion.give_back(weight)
                self._in_flight.discard(parcel.id)

    def _done(self, parcel: Outgoing, weight: int, as_client: bool, future: asyncio.Future[Result]) -> None:
        self._portion.give_back(weight)
        self._in_flight.discard(parcel.id)
        error = future.exception()
        if isinstance(error, NotFound):
            self._work.gone(self, parcel)
        elif isinstance(error, DatabaseError):
            self._work.put_back(self, parcel)  # its content couldn't be read to the end: no fault of the message
        elif error is not None:
            self._work.broke_down(self, parcel, error)
        elif (result := future.result()).untried:
            self._work.put_back(self, parcel)
        else:
            self.lost += result.failure is not None and any(answer.local for answer in result.answers)
            self.answered += not all(answer.local for answer in result.answers)
            if any(answer.delivered for answer in result.answers):
                self.errors = 0
            else:  # the DATA that went along is one more
                self.errors += sum(not answer.local for answer in result.answers) + 1
            if as_client:
                result = Result(result.answers, result.seconds, result.failure, as_client=True)
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


def _who(client: Client) -> _Who:
    """What tells clients apart for who judges them."""
    return client.ip, client.helo, client.protocol


async def open_connection(
    destination: Destination, primary: Primary, settings: Settings, left_unused: Collection[Extension] = ()
) -> Connection:
    """A session with a primary. Raises Failure, also where it turns out to be ourselves (RFC 5321 section 6.3).

    A host that is silent for longer than probes would wait (``[watch]``) is taken for one that is down: another may be
    there to take the mail now.
    """
    hostname = settings.node.hostname
    try:
        addresses = await destination.addresses(primary)
    except LookupFailed as error:
        raise Failure(Stage.CONNECT, Kind.DNS, str(error)) from error
    connection = await Connection.open(
        primary.host,
        primary.port,
        local_hostname=hostname,
        addresses=addresses,
        tls=destination.tls(settings.delivery.tls),
        without={*left_unused, *_UNSAID[settings.delivery.client]},
        connect_timeout=settings.watch.connect_timeout,
        greeting_timeout=settings.watch.reply_timeout,
    )
    destination.reached(primary, connection.peer[0])
    ours, theirs = (name.lower().rstrip(".") for name in (hostname, connection.banner.text.split(" ", 1)[0]))
    if ours == theirs and ours not in EVERYBODY:
        await connection.quit()
        raise Failure(Stage.BANNER, Kind.PROTOCOL, f"{primary} is this relay itself: mail would loop")
    return connection
