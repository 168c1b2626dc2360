"""One probe of one endpoint: connect, banner, EHLO, QUIT, and what that was worth.

Says goodbye wherever a server is there to hear it, for servers count those who just hang up. Doesn't use TLS, gives
no sender and no recipient, and never raises: whatever happens is an answer, if only "nothing was learnt".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from relay.appliances.model import Primary
from relay.smtp.connection import Connection
from relay.smtp.dialogue import Offers
from relay.smtp.failure import Failure, Kind, Stage


class Said(StrEnum):
    """What a probe was answered."""

    OK = "ok"
    TEMPORARY = "temporary"
    """4xx, 421 included: it is there, and doesn't want us now."""
    REFUSED = "refused"
    """5xx at the banner or EHLO."""
    FAILURE = "failure"
    """No connection, no banner, no reply to EHLO."""
    NOTHING = "nothing"
    """Nothing was learnt, for a reason of our own: the DNS gave no answer, no socket was left."""


@dataclass(frozen=True, slots=True)
class Answer:
    """``text``: what happened, for people. ``seconds``: how long each reply took. ``offers``: of EHLO, if OK."""

    said: Said
    text: str
    seconds: tuple[float, ...] = ()
    offers: Offers | None = None


async def probe(
    primary: Primary, addresses: Sequence[str], *, hostname: str, connect_timeout: float, reply_timeout: float
) -> Answer:
    """Ask ``primary`` at the first of its ``addresses`` that answers; timeouts in seconds."""
    try:
        connection = await Connection.open(
            primary.host,
            primary.port,
            local_hostname=hostname,
            addresses=addresses,
            tls="none",
            connect_timeout=connect_timeout,
            reply_timeout=reply_timeout,
        )
    except Failure as failure:
        return _failed(primary, failure)
    await connection.say_goodbye()
    seconds = tuple(timing.seconds for timing in connection.timings if timing.stage is not Stage.QUIT)
    return Answer(Said.OK, f"{primary} answers", seconds, connection.offers)


def _failed(primary: Primary, failure: Failure) -> Answer:
    text = f"{primary}: {failure}"
    if failure.reply is not None:
        return Answer(Said.REFUSED if failure.reply.permanent else Said.TEMPORARY, text)
    return Answer(Said.NOTHING if failure.kind is Kind.LOCAL else Said.FAILURE, text)
