"""The whole way of a message, over real sockets: what goes in by DATA or BDAT comes out at the primary as it was."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count, product
from pathlib import Path

import dkim
import pytest
import uvloop
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.integration.edge import test_carriage as by_data
from tests.integration.edge import test_chunking as by_bdat
from tests.integration.edge.house import Client
from tests.lab.letters import KINDS, letter
from tests.support.node import HOSTNAME, running
from tests.support.primary import ScriptedPrimary
from tests.support.waiting import eventually

ATOMS = [
    *(b"\r\n", b"\n", b"\r", b".", b"\r\n.\r\n", b"\r\n..\r\n", b"\n.\n", b"\0", b"\xff", b" ", b"x" * 3000),
    *(b"Subject: x\r\n", b"Received: from a by b; c\r\n", b"Message-ID: <a@b>\r\n", b" folded\r\n", b"QUIT\r\n"),
]
OCTETS = st.lists(st.sampled_from(ATOMS), max_size=20).map(b"".join) | st.binary(max_size=2000)
RECEIVED = re.compile(rb"Received: from [^\r\n]*(?:\r\n\t[^\r\n]*)*?\+0000\r\n")


@dataclass(frozen=True)
class Message:
    """Octets that a client says by DATA, or in chunks cut at ``cuts``."""

    octets: bytes
    cuts: list[int] | None = None

    def said(self, recipient: bytes) -> list[bytes]:
        """What the client says, and in how many turns."""
        envelope = b"MAIL FROM:<sender@elsewhere.example>\r\nRCPT TO:<%b>\r\n" % recipient
        if self.cuts is None:
            return [envelope + b"DATA\r\n", by_data.stuffed(self.octets) + b"\r\n.\r\n"]
        return [envelope + by_bdat.chunks(self.octets, self.cuts)]

    def arrives(self, *, chunking: bool) -> bytes:
        """What is below our Received line at a primary that takes mail by BDAT, or by DATA: that ends a line."""
        if self.cuts is None:
            return by_data.mended(by_data.stuffed(self.octets))
        content = by_bdat.mended(self.octets)
        return content if chunking or content[-2:] in (b"\r\n", b"") else content + b"\r\n"


@dataclass
class Way:
    """One node, its primary, and one client that says everything in one session."""

    primary: ScriptedPrimary
    client: Client
    numbers: Iterator[int] = field(default_factory=count)

    async def carry(self, messages: Sequence[Message]) -> list[bytes]:
        """What has come of each at the primary."""
        self.primary.messages.clear()
        recipients = [f"n{next(self.numbers)}@gold.example" for _ in messages]
        for message, recipient in zip(messages, recipients, strict=True):
            for turn in message.said(recipient.encode()):
                await self.client.send(turn)
                # MAIL, RCPT and DATA; the dot; or MAIL, RCPT and each BDAT
                for _ in range(turn.count(b"\r\n") if turn.endswith(b"DATA\r\n") else self._replies(message)):
                    reply = await self.client.reply()
                    assert reply[0] in "23", reply
        await eventually(lambda: len(self.primary.messages) == len(messages), every=0.002)
        home = {taken.recipients[0]: taken.content for taken in self.primary.messages}
        assert self.primary.violations == []
        return [home[recipient] for recipient in recipients]

    def _replies(self, message: Message) -> int:
        if message.cuts is None:
            return 1
        return 2 + len({min(cut, len(message.octets)) for cut in message.cuts} | {0})


@contextmanager
def way(folder: Path, *, chunking: bool) -> Iterator[tuple[asyncio.Runner, Way]]:
    """It is open until the block is left; the runner is for what is to be done on it."""

    async def begin() -> Way:
        primary = await stack.enter_async_context(ScriptedPrimary())
        primary.offers += ["CHUNKING"] if chunking else []
        node = await stack.enter_async_context(running(folder))
        await node.relayctl("domain", "add", "gold.example", "--primary", primary.address)
        await node.until("gold.example", health="up")
        client = Client(*await asyncio.open_connection(*node.address, limit=2**20))
        stack.callback(client.writer.close)
        assert (await client.reply()).startswith("220 ")
        await client.ask("EHLO client.example")
        return Way(primary, client)

    stack = AsyncExitStack()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            yield runner, runner.run(begin())
        finally:
            runner.run(stack.aclose())


def below_ours(content: bytes) -> bytes:
    """``content`` without our Received line, which must be there."""
    line = RECEIVED.match(content)
    assert line and f"by {HOSTNAME} ".encode() in line[0], content[:300]
    return content[line.end() :]


@pytest.mark.parametrize("chunking", [False, True], ids=["by DATA", "by BDAT"])
def test_any_octets_come_home(chunking: bool, tmp_path: Path) -> None:
    """Whatever a client says is at the primary below our Received line, bare newlines mended and nothing else."""
    with way(tmp_path, chunking=chunking) as (runner, journey):

        @settings(max_examples=80)
        @given(st.lists(st.builds(Message, OCTETS, st.none() | st.lists(st.integers(0, 3000), max_size=3)), max_size=6))
        @example(
            [Message(b"x: y\r\n\r\n" + b"\r\n.\0\xff" * 300_000), Message(b"x: y\r\n\r\n" + b"z" * 2_000_000, [7])]
        )
        @example([Message(b""), Message(b"", []), Message(b"no end", []), Message(b".", []), Message(b".")])
        def carried(messages: list[Message]) -> None:
            arrived = runner.run(journey.carry(messages))
            assert [below_ours(content) for content in arrived] == [
                message.arrives(chunking=chunking) for message in messages
            ]

        carried()


@pytest.mark.parametrize("chunking", [False, True], ids=["by DATA", "by BDAT"])
def test_signatures_still_verify(chunking: bool, tmp_path: Path) -> None:
    """DKIM by either algorithm and either canonicalisation, of letters that are hard to carry, by DATA and by BDAT."""
    rsa, ed25519 = generate_private_key(65537, 2048), Ed25519PrivateKey.generate()
    pem = rsa.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    raw = base64.b64encode(ed25519.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()))
    public = base64.b64encode(rsa.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    public_ed25519 = base64.b64encode(ed25519.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
    records = {
        b"rsa._domainkey.world.example.": b"v=DKIM1; k=rsa; p=" + public,
        b"ed25519._domainkey.world.example.": b"v=DKIM1; k=ed25519; p=" + public_ed25519,
    }
    keys = {b"rsa": pem, b"ed25519": raw}

    def found(name: bytes, timeout: int = 5) -> bytes:
        return records[name]

    def signed(number: int, algorithm: bytes, canonical: tuple[bytes, bytes]) -> bytes:
        content, kind = letter(number), algorithm + b"-sha256"
        return bytes(dkim.sign(content, algorithm, b"world.example", keys[algorithm], None, canonical, kind)) + content

    letters = [signed(*one) for one in product(range(KINDS), keys, product((b"simple", b"relaxed"), repeat=2))]
    messages = [
        Message(content.removesuffix(b"\r\n"), None if number % 3 else [100]) for number, content in enumerate(letters)
    ]
    with way(tmp_path, chunking=chunking) as (runner, journey):
        arrived = runner.run(journey.carry(messages))
    for content, message in zip(arrived, messages, strict=True):
        assert below_ours(content) == message.arrives(chunking=chunking)
        assert dkim.verify(content, dnsfunc=found)
        assert not dkim.verify(content.replace(b"letter", b"litter"), dnsfunc=found)
