"""BDAT: a message in chunks whose octets are counted beforehand (RFC 3030 section 2).

Promises: of a chunk whose size is known all octets are swallowed, whatever becomes of it, so that none of them is ever
taken for a command; what comes in no sensible order (a size that is none, a chunk without a message or behind the last
one, anything but BDAT, NOOP, RSET and QUIT between two chunks) ends the dialogue at once. A message of which one chunk
was refused is refused to its last. 250 to the last chunk means what it means after a dot: durable.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from relay import events
from relay.edge.chunks import Chunks
from relay.edge.connection import Ending, Gone
from relay.edge.intake import Intake
from relay.edge.refusals import FAULT
from relay.mail import Reply

if TYPE_CHECKING:
    from relay.edge.session import Session

_ARGUMENT = re.compile(r"([0-9]{1,20})(?: +(LAST))?", re.ASCII | re.IGNORECASE)
SYNTAX = Reply(501, "5.5.4", "Syntax: BDAT size [LAST]; closing the connection, what follows can't be told apart")
OUT_OF_ORDER = Reply(503, "5.5.1", "Bad sequence of commands around BDAT, closing the connection")


async def bdat(session: Session, argument: str) -> None:
    """The command, its chunk and its reply. Raises Rejected, Deferred; Gone, Ending."""
    found = _ARGUMENT.fullmatch(argument)
    if found is None:
        raise Ending(SYNTAX)
    size, last = int(found[1]), found[2] is not None
    mail = session.mail
    if not mail.begun:
        raise Ending(OUT_OF_ORDER)
    if mail.intake is None:
        mail.intake = session.intake(Chunks())
        if (refusal := mail.nobody()) is not None:
            await mail.intake.refuse(refusal)
    try:
        try:
            await _read(session, mail.intake, size)
        except (Gone, Ending):
            raise
        except Exception as error:
            raise torn(error) from error
        if last:
            await session.conclude(mail, mail.intake)
            await mail.intake.close(accepted=True)
            mail.intake = None
            return
        mail.intake.check()
        session.say(b"250 2.0.0 Ok, %d octets\r\n" % size)
    finally:
        if last:
            await session.reset()


def torn(error: Exception) -> Ending:
    """Something went wrong within a message: what is left of it must not be taken for commands."""
    events.fault("edge", error)
    return Ending(FAULT)


async def _read(session: Session, intake: Intake, size: int) -> None:
    """Take ``size`` octets of content."""
    if not size and not session.patience.junk():
        raise Ending(OUT_OF_ORDER)
    await intake.expect(size)
    left = size
    while left:
        chunk = await session.chunk(left)
        size = len(chunk)
        left -= size
        await intake.feed(chunk)
        if not intake.refused:
            session.patience.progress(size)
