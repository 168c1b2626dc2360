"""Content is carried byte for byte: what is stored below our Received line is what the client said."""

from __future__ import annotations

import random
import re
import tempfile
from pathlib import Path

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.integration.edge.house import HOSTNAME, house

LETTER = b"From: a@elsewhere.example\r\nSubject: x\r\n\r\n"
OCTETS = st.one_of(
    st.binary(max_size=2000),
    st.lists(st.sampled_from([b"\r\n", b"\n", b"\r", b".", b"x", b"\0", b"\xff", b"=20"]), max_size=40).map(b"".join),
)


def stuffed(content: bytes) -> bytes:
    """As a client sends it, up to the CRLF before the dot (RFC 5321 4.5.2)."""
    return (b"\r\n" + content).replace(b"\r\n.", b"\r\n..")[2:]


def mended(wire: bytes) -> bytes:
    """What a message is after bare newlines were mended and its dots unstuffed."""
    text = re.sub(rb"\r\n|\n|\r", lambda end: b" " if end[0] == b"\r" else b"\r\n", wire + b"\r\n")
    return b"\r\n".join(line[1:] if len(line) > 1 and line[:1] == b"." else line for line in text.split(b"\r\n"))


@settings(max_examples=20)
@given(st.lists(OCTETS, min_size=1, max_size=20))
def test_any_octets_arrive(contents: list[bytes]) -> None:
    """Arbitrary octets, message after message in one session, are stored as they were, bare newlines mended."""

    async def session(folder: Path) -> None:
        async with house(folder) as relay:
            async with relay.client() as client:
                for content in contents:
                    assert (await client.mail(stuffed(content))).startswith("250 2.0.0 ")
            assert [one.content for one in await relay.stored()] == [mended(stuffed(content)) for content in contents]

    with tempfile.TemporaryDirectory() as folder:
        uvloop.run(session(Path(folder)))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no header at all",
        LETTER + b"x" * 1_000_000,
        LETTER + b"\r\n".join(b"y" * 10_000 for _ in range(30)),
        LETTER + bytes(range(256)).replace(b"\r", b"").replace(b"\n", b"") * 20,
        LETTER + b"\0" * 5000,
        b"X-Odd Header : x\r\n: empty name\r\n continued\r\n\r\nbody",
        LETTER + b".\r\n..\r\n...\r\n.x",
    ],
    ids=["empty", "headerless", "one line of 1 MB", "long lines", "8-bit", "NUL", "odd header", "dots"],
)
async def test_odd_content_arrives_as_it_was(content: bytes, tmp_path: Path) -> None:
    """Long lines, 8-bit octets, NUL and odd headers are no reason to refuse or to change a message."""
    async with house(tmp_path) as relay:
        async with relay.client() as client:
            assert (await client.mail(stuffed(content))).startswith("250 2.0.0 ")
        (stored,) = await relay.stored()
        assert stored.content == content + b"\r\n"
        assert stored.row.size == len(content) + 2


@pytest.mark.parametrize("seed", range(3))
async def test_a_large_message_arrives_as_it_was(seed: int, tmp_path: Path) -> None:
    """Content that is handed over in pieces while it arrives has no seams, wherever a dot or a bare newline falls."""
    dice = random.Random(seed)
    words = [b"\r\n", b"\n", b"\r", b".", b"..", b"\r\n.", b"\n.", b"x" * 50, b"\0\xff", dice.randbytes(100)]
    wire = LETTER + b"".join(dice.choices(words, k=150_000))
    wire = wire.replace(b"\r\n.\r\n", b"\r\n..\r\n")
    wire = wire.replace(b"\r\n.\r\n", b"\r\n..\r\n") + b"end"
    assert b"\r\n.\r\n" not in wire
    assert len(wire) > 2_000_000
    async with house(tmp_path) as relay:
        async with relay.client() as client:
            await client.begin()
            rest = wire + b"\r\n.\r\nNOOP\r\n"
            while rest:
                size = dice.choice([1, 7, 1000, 65_536, 300_000])
                await client.send(rest[:size])
                rest = rest[size:]
            assert (await client.reply()).startswith("250 2.0.0 ")
            assert (await client.reply()).startswith("250 2.0.0 ")
        (stored,) = await relay.stored()
        assert stored.content == mended(wire)
        assert stored.row.size == len(stored.content)


async def test_the_content_gets_one_received_line(tmp_path: Path) -> None:
    """It says who brought the message, to whom and how, and stands above everything else."""
    async with house(tmp_path) as relay:
        async with relay.client() as client:
            await client.mail(LETTER + b"hello")
        (stored,) = await relay.stored()
        assert re.fullmatch(
            rb"Received: from client\.example \(\[127\.0\.0\.1\]\)\r\n\tby %s with ESMTP id \S+;\r\n\t.* \+0000\r\n"
            % re.escape(HOSTNAME.encode()),
            stored.received,
        )
        assert stored.row.client.helo == "client.example"
        assert stored.row.client.ip == "127.0.0.1"


@pytest.mark.parametrize(
    ("hops", "reply"),
    [(3 * [HOSTNAME], "250 2.0.0"), (4 * [HOSTNAME], "554 5.4.6"), (101 * ["other.example"], "554 5.4.6")],
)
async def test_a_loop_is_cut(hops: list[str], reply: str, tmp_path: Path) -> None:
    """A message that was here four times, or anywhere a hundred times, is refused."""
    header = b"".join(f"Received: from x by {hop} with SMTP; date\r\n".encode() for hop in hops)
    async with house(tmp_path) as relay, relay.client() as client:
        assert (await client.mail(header + LETTER)).startswith(reply)
        assert len(await relay.stored()) == (reply == "250 2.0.0")


async def test_250_means_durable(tmp_path: Path) -> None:
    """When the reply arrives, another connection to the database sees the message."""
    async with house(tmp_path) as relay, relay.client() as client:
        for count in range(1, 6):
            assert (await client.mail(LETTER)).startswith("250 ")
            with relay.db.read() as connection:
                assert connection.exec_driver_sql("SELECT count(*) FROM messages").scalar_one() == count
        assert relay.accepted


@pytest.mark.parametrize(
    ("hello", "parameters", "protocol"),
    [("HELO", "", b"SMTP"), ("EHLO", "", b"ESMTP"), ("EHLO", " SMTPUTF8", b"UTF8SMTP")],
)
async def test_the_received_line_names_the_protocol(
    hello: str, parameters: str, protocol: bytes, tmp_path: Path
) -> None:
    """As RFC 3848 and 6531 have it."""
    async with house(tmp_path) as relay, relay.client() as client:
        await client.ask(f"{hello} client.example")
        await client.ask(f"MAIL FROM:<a@b.example>{parameters}")
        await client.ask("RCPT TO:<someone@gold.example>")
        await client.ask("DATA")
        await client.ask(b".\r\n")
        (stored,) = await relay.stored()
        assert b" with " + protocol + b" id " in stored.received
        assert stored.row.client.protocol == protocol.decode()
