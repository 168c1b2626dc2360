"""The senders of mail: their domains in a real DNS, and their own mail server, on port 25 as the world expects it.

sender.example says by SPF that the house's client (192.0.2.1) sends its mail, and takes mail at ``mx``; forged.example
says that nobody does, and takes mail there too; silent.example has a null MX, and the MX of ours.example is the relay.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.message import Message

from tests.support.nsd import NameServer, name_server
from tests.support.primary import ScriptedPrimary, Taken, on_port_25
from tests.support.processes import free_port

PASSES = '@ TXT "v=spf1 ip4:192.0.2.1 -all"\n'


class Senders:
    """``mx``: their server; ``names``: the DNS, and ``resolver`` where it answers."""

    def __init__(self, mx: ScriptedPrimary, names: NameServer) -> None:
        self.mx = mx
        self.names = names
        self.resolver = f"127.0.0.1:{names.port}"

    def zone(self, records: str) -> str:
        """A zone whose mail goes to ``mx``."""
        return f"{records}@ MX 10 mail\nmail A {self.mx.host}\n"

    @property
    def reports(self) -> list[Message]:
        """What came, parsed."""
        return [message_from_bytes(taken.content) for taken in self.mx.messages]


@asynccontextmanager
async def senders() -> AsyncIterator[Senders]:
    """They are there until the block is left."""
    async with on_port_25() as mx:
        with name_server({"other.example": "@ A 127.0.0.1\n"}, port=free_port()) as names:
            found = Senders(mx, names)
            names.serve(
                {
                    "sender.example": found.zone(PASSES),
                    "forged.example": found.zone('@ TXT "v=spf1 -all"\n'),
                    "silent.example": f"{PASSES}@ MX 0 .\n",
                    "ours.example": f"{PASSES}@ MX 10 relay.test.\n",
                }
            )
            yield found


def parts(taken: Taken) -> tuple[str, dict[str, str], list[dict[str, str]], str]:
    """A report taken apart: what people read, the fields of the message, those of each recipient, and the original's
    header."""
    words, status, original = message_from_bytes(taken.content).get_payload()
    message, *people = status.get_payload()
    return words.get_payload(), dict(message), [dict(one) for one in people], original.get_payload()
