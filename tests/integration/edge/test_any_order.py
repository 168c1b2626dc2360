"""Commands in any order, good and bad, one by one or pipelined: a model of the session says what each is answered.

The edge, its queue and the socket are real; one house serves all of it. Each command has exactly one reply, with the
code and the enhanced status code that the model says; nothing breaks or hangs; what got 250 is in the queue as it was
said, and nothing else is.
"""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import uvloop
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from relay import events
from tests.integration.edge.house import Client, House, house
from tests.integration.edge.test_carriage import mended as mended_by_dot
from tests.integration.edge.test_carriage import stuffed
from tests.unit.edge.test_chunks import OCTETS, mended

MOST_ERRORS = 6
LARGEST = 65_536
TOO_MANY = "421 4.7.0"

SENDERS = {
    "<a@b.example>": "250 2.1.0",
    "<> BODY=8BITMIME RET=HDRS ENVID=x+2By": "250 2.1.0",
    "<gr\u00fc\u00dfe@b.example> SMTPUTF8": "250 2.1.0",
    f"<a@b.example> SIZE={LARGEST}": "250 2.1.0",
    f"<a@b.example> SIZE={LARGEST + 1}": "552 5.3.4",
    "<gr\u00fc\u00dfe@b.example>": "553 5.6.7",
    "<a@b.example> BODY=BINARYMIME": "555 5.6.1",
    "<a@b.example> AUTH=<>": "555 5.5.4",
    "<a@b.example> SIZE=x": "501 5.5.4",
    "a@b.example": "501 5.5.4",
    "<a b@c.example>": "553 5.1.7",
}
RECIPIENTS = {
    "<x@gold.example>": "250 2.1.5",
    "<Y+tag@GOLD.example> NOTIFY=FAILURE,DELAY ORCPT=rfc822;y@gold.example": "250 2.1.5",
    "<postmaster>": "250 2.1.5",
    "<x@elsewhere.example>": "550 5.7.1",
    "<x%elsewhere.example@gold.example>": "550 5.7.1",
    "<@a.example:x@gold.example>": "553 5.1.3",
    "<x@gold.example> NOTIFY=SOMETIMES": "501 5.5.4",
    "<x@gold.example> SIZE=1": "555 5.5.4",
    "x@gold.example": "501 5.5.4",
}
SMALL = {
    b"NOOP": "250 2.0.0",
    b"NOOP with words": "250 2.0.0",
    b"VRFY someone": "252 2.0.0",
    b"HELP": "214 2.0.0",
    b"STARTTLS": "502 5.5.1",
    b"RSET now": "501 5.5.4",
    b"EHLO": "501 5.5.4",
    b"AUTH PLAIN": "500 5.5.1",
    b"": "500 5.5.1",
    b"\xff\xfe": "500 5.5.1",
    b"VRFY \xff": "501 5.5.2",
    b"NOOP\0": "500 5.5.2",
    b"NOOP\nNOOP": "500 5.5.2",
    b"NOOP\r": "500 5.5.2",
    b"NOOP " + b"x" * 5000: "500 5.5.2",
}


@dataclass
class Mail:
    """The transaction as the model sees it; ``chunks``: what came by BDAT, ``why``: what it was refused with."""

    begun: bool = False
    sender: str | None = None
    tried: bool = False
    recipients: list[str] = field(default_factory=list)
    chunks: bytes | None = None
    why: str = ""

    def nobody(self) -> str:
        """The refusal where there is nobody to take a message for."""
        return "" if self.recipients else "554 5.5.1" if self.tried else "503 5.5.1"

    @property
    def follows(self) -> bool:
        """Whether that is because MAIL, or everybody, was refused before."""
        return self.tried or (self.begun and self.sender is None)


class AnyOrder(RuleBasedStateMachine):
    """Commands are gathered, and said when ``hear`` is drawn."""

    runner: ClassVar[asyncio.Runner]
    relay: ClassVar[House]
    seen: ClassVar[int]
    """The newest message of the examples before this one."""

    def __init__(self) -> None:
        super().__init__()
        self.faults = faults()
        self.failed = False
        self.queued: list[tuple[str, list[str], bytes]] = []
        self.connect()

    def connect(self) -> None:
        self.client: Client = self.runner.run(self.relay.connect())
        self.said = b""
        self.due = ["220 relay"]
        self.hello, self.ended, self.errors = False, False, 0
        self.mail = Mail()

    # --- what is said, and what is due for it -------------------------------------------------------------------------

    def say(self, octets: bytes, reply: str, *, ends: bool = False, follows: bool = False) -> None:
        """``ends``: and the session with it; ``follows``: from a refusal before, so that it is no other error."""
        self.said += octets
        if reply[0] in "45" and not ends:
            if self.errors >= MOST_ERRORS:
                reply, ends = TOO_MANY, True
            self.errors += reply[0] == "5" and not follows
        self.due.append(reply)
        self.ended = ends

    def took(self, content: bytes) -> None:
        assert self.mail.sender is not None
        self.queued.append((self.mail.sender, self.mail.recipients, content))
        self.errors = 0

    @precondition(lambda self: not self.ended)
    @rule(verb=st.sampled_from([b"EHLO", b"helo"]), name=st.sampled_from([b"client.example", b"[127.0.0.1]", b"x y"]))
    def greet(self, verb: bytes, name: bytes) -> None:
        self.say(verb + b" " + name + b"\r\n", "250-relay" if verb == b"EHLO" else "250 relay")
        self.hello, self.mail = True, Mail()

    @precondition(lambda self: not self.ended)
    @rule(argument=st.sampled_from(sorted(SENDERS)))
    def begin(self, argument: str) -> None:
        octets = f"MAIL FROM:{argument}\r\n".encode()
        if not self.hello:
            self.say(octets, "503 5.5.1")
        elif self.mail.chunks is not None:
            self.say(octets, "503 5.5.1", ends=True)
        elif self.mail.sender is not None:
            self.say(octets, "503 5.5.1")
        else:
            self.mail.begun = True
            self.say(octets, SENDERS[argument])
            if SENDERS[argument].startswith("250"):
                self.mail.sender = argument[1 : argument.index(">")]

    @precondition(lambda self: not self.ended)
    @rule(argument=st.sampled_from(sorted(RECIPIENTS)))
    def name(self, argument: str) -> None:
        octets = f"RCPT TO:{argument}\r\n".encode()
        if self.mail.chunks is not None:
            self.say(octets, "503 5.5.1", ends=True)
        elif self.mail.sender is None:
            self.say(octets, "503 5.5.1", follows=self.mail.begun)
        else:
            self.mail.tried = True
            self.say(octets, RECIPIENTS[argument])
            address = argument[1 : argument.find(">")]
            if RECIPIENTS[argument].startswith("250") and address not in self.mail.recipients:
                self.mail.recipients.append(address)

    @precondition(lambda self: not self.ended)
    @rule(content=OCTETS, large=st.sampled_from([0, 0, 0, LARGEST + 1]))
    def data(self, content: bytes, large: int) -> None:
        if self.mail.chunks is not None:
            self.say(b"DATA\r\n", "503 5.5.1", ends=True)
        elif why := self.mail.nobody():
            self.say(b"DATA\r\n", why, follows=self.mail.follows)
        else:
            content += b"x" * large
            self.say(b"DATA\r\n", "354 End d")
            self.say(stuffed(content) + b"\r\n.\r\n", "552 5.3.4" if large else "250 2.0.0")
            if not large:
                self.took(mended_by_dot(stuffed(content)))
            self.mail = Mail()

    @precondition(lambda self: not self.ended)
    @rule(chunk=OCTETS, large=st.sampled_from([0, 0, 0, LARGEST + 1]), last=st.booleans())
    def chunk(self, chunk: bytes, large: int, last: bool) -> None:
        chunk += b"x" * large
        octets = b"BDAT %d%s\r\n%s" % (len(chunk), b" LAST" if last else b"", chunk)
        mail = self.mail
        if not mail.begun:
            self.say(octets, "503 5.5.1", ends=True)
            return
        if mail.chunks is None:
            mail.chunks, mail.why = b"", mail.nobody()
        mail.chunks += chunk
        if large and not mail.why:
            mail.why = "552 5.3.4"
        self.say(octets, mail.why or "250 2.0.0", follows=mail.follows and mail.why == mail.nobody())
        if last:
            if not mail.why:
                self.took(mended(mail.chunks))
            self.mail = Mail()

    @precondition(lambda self: not self.ended)
    @rule(argument=st.sampled_from([b"", b"x", b"-1", b"5 FIRST", b"5LAST", b"9" * 30]))
    def chunk_of_no_size(self, argument: bytes) -> None:
        self.say(b"BDAT " + argument + b"\r\n", "501 5.5.4", ends=True)

    @precondition(lambda self: not self.ended)
    @rule(command=st.sampled_from(sorted(SMALL)))
    def small(self, command: bytes) -> None:
        self.say(command + b"\r\n", SMALL[command])

    @precondition(lambda self: not self.ended)
    @rule(argument=st.sampled_from([b"gold.example", b"@b.example", b"", b"a b"]))
    def ask_for_mail(self, argument: bytes) -> None:
        good = argument in (b"gold.example", b"@b.example")
        in_order = self.hello and not self.mail.begun
        self.say(b"ETRN " + argument + b"\r\n", "503 5.5.1" if not in_order else "459 4.7.1" if good else "501 5.5.4")

    @precondition(lambda self: not self.ended)
    @rule()
    def reset(self) -> None:
        self.say(b"RSET\r\n", "250 2.0.0")
        self.mail = Mail()

    @precondition(lambda self: not self.ended)
    @rule()
    def quit(self) -> None:
        self.say(b"QUIT\r\n", "221 2.0.0", ends=True)

    # --- what is heard ------------------------------------------------------------------------------------------------

    @rule(segment=st.sampled_from([1, 7, 1_000_000]))
    def hear(self, segment: int) -> None:
        self.settle(segment)
        if self.ended:
            self.connect()

    def settle(self, segment: int) -> None:
        try:
            self.runner.run(self.listen(segment))
        except BaseException:
            # uvloop doesn't survive a connection that is left to the garbage collector with its socket.
            self.client.writer.transport.abort()
            self.failed = True
            raise

    async def listen(self, segment: int) -> None:
        said, self.said = self.said, b""
        for at in range(0, min(len(said), 500 * segment), segment):
            await self.client.send(said[at : at + segment])
            await asyncio.sleep(0)
        await self.client.send(said[500 * segment :])
        due, self.due = self.due, []
        assert [(await self.client.reply(timeout=10))[:9] for _ in due] == due
        if self.ended:
            assert await self.client.ended()
            self.client.writer.transport.abort()

    @invariant()
    def nothing_broke(self) -> None:
        assert faults() == self.faults

    def teardown(self) -> None:
        if not self.failed:
            self.settle(1_000_000)
            self.client.writer.transport.abort()
            self.runner.run(self.check_queue())

    async def check_queue(self) -> None:
        everything = await self.relay.everything()
        fresh = [one for one in everything if one.row.id > self.seen]
        type(self).seen = max((one.row.id for one in everything), default=0)
        # A message is split by appliance, and our own postmaster is one.
        due = [
            (sender, part, content)
            for sender, recipients, content in self.queued
            for part in sorted(split(recipients), key=lambda part: recipients.index(part[0]))
        ]
        assert [(one.sender, one.recipients, one.content) for one in fresh] == due
        assert self.relay.edge.bytes_in_flight == 0


def split(recipients: list[str]) -> list[list[str]]:
    ours = [address for address in recipients if address == "postmaster"]
    gold = [address for address in recipients if address != "postmaster"]
    return [part for part in (ours, gold) if part]


def faults() -> float:
    return events.registry.get_sample_value("relay_faults_total", {"where": "edge"}) or 0.0


def test_commands_in_any_order() -> None:
    """Each is answered as the model of the session says, and the queue has what got 250."""

    async def move_in() -> House:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        limits = {"client_errors": MOST_ERRORS}
        return await stack.enter_async_context(house(Path(folder), limits=limits, max_message_size=LARGEST))

    stack = AsyncExitStack()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as AnyOrder.runner:
        try:
            AnyOrder.relay = AnyOrder.runner.run(move_in())
            AnyOrder.seen = 0
            run_state_machine_as_test(AnyOrder, settings=settings(max_examples=80, stateful_step_count=40))
        finally:
            AnyOrder.runner.run(stack.aclose())
