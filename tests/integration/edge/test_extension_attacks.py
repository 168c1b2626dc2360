"""BDAT and the PROXY protocol in the hands of those who mean no good. (More is in the dialogues.)"""

from __future__ import annotations

from pathlib import Path

import pytest

from relay.edge.proxy import SIGNATURE
from relay.edge.refusals import NO_HEADER
from tests.integration.edge.house import house
from tests.integration.edge.test_proxy_protocol import LETTER, LOOPBACK, version_1, version_2
from tests.support.waiting import eventually

ENVELOPE = b"MAIL FROM:<sender@elsewhere.example>\r\nRCPT TO:<someone@gold.example>\r\n"


@pytest.mark.parametrize(
    "argument",
    [
        *(b"", b"LAST", b"x", b"-1", b"-0", b"+5", b"5.0", b"1e3", b"0x10", b"1_000", b"5 5", b"5,LAST", b"5LAST"),
        *(
            b"5 LASTX",
            b"5 LAST LAST",
            b"5 LAST x",
            b"5\tLAST",
            b"\xd9\xa5",
            b"5 \xef\xbc\xacAST",
            b"9" * 21,
            b"5 " * 500,
        ),
    ],
)
async def test_a_chunk_of_no_size_ends_the_dialogue(argument: bytes, tmp_path: Path) -> None:
    """What stands behind it, its content or the next command, is read by nobody."""
    async with house(tmp_path) as relay, relay.client() as client:
        await client.send(ENVELOPE + b"BDAT " + argument + b"\r\nRSET\r\n" + ENVELOPE + b"BDAT 1 LAST\r\nx")
        heard = [(await client.reply())[:9] for _ in range(3)]
        assert heard == ["250 2.1.0", "250 2.1.5", "501 5.5.4"]
        assert await client.ended()
        assert await relay.everything() == []


@pytest.mark.parametrize(
    "header", [version_1("198.51.100.7"), version_2("198.51.100.7"), SIGNATURE], ids=["1", "2", "signature"]
)
async def test_nobody_gets_out_of_who_he_is(header: bytes, tmp_path: Path) -> None:
    """A header of a peer that isn't listed, of one that has said its own, or in the middle of things, is garbage."""
    async with house(tmp_path) as relay, relay.client() as client:
        await client.send(header + b"\r\nNOOP\r\n")
        while not (reply := await client.reply()).startswith("250 "):
            assert reply.startswith("500 5.5"), reply
        assert (await client.mail(LETTER)).startswith("250 2.0.0 ")
        (stored,) = await relay.stored()
        assert stored.row.client.ip == "127.0.0.1"
    async with house(tmp_path / "listed", proxy_protocol_from=LOOPBACK) as relay:
        async with relay.client(hello=False) as client:
            await client.send(version_1("198.51.100.1") + header + b"\r\nEHLO client.example\r\n")
            assert (await client.reply()).startswith("220 ")
            while not (reply := await client.reply()).startswith("250-"):
                assert reply.startswith("500 5.5"), reply
            assert (await client.mail(LETTER)).startswith("250 2.0.0 ")
        (stored,) = await relay.stored()
        assert stored.row.client.ip == "198.51.100.1"


@pytest.mark.parametrize(
    "octets",
    [
        b"PROXY TCP4 198.51.100.7 192.0.2.25 40000 25\r\r\n",
        b"PROXY TCP4 198.51.100.7\r\nX-Real: 1 192.0.2.25 1 25\r\n",
        b"PROXY TCP4 198.51.100.7 192.0.2.25 40000 25\n",
        b"PROXY TCP6 fe80::1%\x1b[2J ::1 1 25\r\n",
        b"PROXY TCP4 198.51.100.7\0 192.0.2.25 1 25\r\n",
        b"PROXY TCP4 0x7f000001 192.0.2.25 1 25\r\n",
        b"PROXY TCP4 127.1 192.0.2.25 1 25\r\n",
        b"PROXY TCP4 010.0.0.1 192.0.2.25 1 25\r\n",
        b"PROXY TCP4 198.51.100.7 192.0.2.25 -1 25\r\n",
        b"PROXY TCP4 198.51.100.7 192.0.2.25 " + b"1" * 4000,
        b"PROXY " + b"x" * 100_000,
        SIGNATURE + b"\x21\x11\xff\xff" + b"\0" * 100_000,
        SIGNATURE + b"\x21\x11\x00\x0b" + b"\0" * 11,
        SIGNATURE + b"\x31\x11\x00\x0c" + b"\0" * 12,
        SIGNATURE + b"\x21\xff\x00\x0c" + b"\0" * 12,
    ],
)
async def test_a_listed_peer_that_talks_nonsense_is_left(octets: bytes, tmp_path: Path) -> None:
    """421 and the end, and nothing that it says is guessed at or echoed."""
    async with house(tmp_path, proxy_protocol_from=LOOPBACK) as relay, relay.client(hello=False) as client:
        await client.send(octets)
        try:
            assert await client.line() == str(NO_HEADER)
            assert await client.ended()
        except ConnectionResetError:
            pass  # the end, with octets that nobody wants still on their way
        await eventually(lambda: relay.edge.sessions == 0)
