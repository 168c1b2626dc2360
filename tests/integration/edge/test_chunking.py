"""Mail by BDAT: the same octets as by DATA, without an end that could be mistaken (RFC 3030)."""

from __future__ import annotations

import random
import tempfile
from itertools import pairwise
from pathlib import Path

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.integration.edge.house import Client, House, house
from tests.support.waiting import eventually
from tests.unit.edge.test_chunks import OCTETS, mended

LETTER = b"From: a@elsewhere.example\r\nSubject: x\r\n\r\n"
ENVELOPE = b"MAIL FROM:<sender@elsewhere.example>\r\nRCPT TO:<someone@gold.example>\r\n"


def chunks(content: bytes, cuts: list[int]) -> bytes:
    """``content`` as BDAT commands, cut there."""
    places = [0, *sorted({min(cut, len(content)) for cut in cuts}), len(content)]
    said = b"".join(b"BDAT %d\r\n%b" % (end - begin, content[begin:end]) for begin, end in pairwise(places[:-1]))
    last = content[places[-2] :]
    return said + b"BDAT %d LAST\r\n%b" % (len(last), last)


async def replies(client: Client, count: int) -> list[str]:
    return [(await client.reply())[:9] for _ in range(count)]


@settings(max_examples=25)
@given(st.lists(st.tuples(OCTETS | st.binary(max_size=500), st.lists(st.integers(0, 99), max_size=3)), min_size=1))
def test_any_octets_arrive(messages: list[tuple[bytes, list[int]]]) -> None:
    """Arbitrary octets in chunks cut anywhere, all pipelined, are stored as they were, without an end added."""

    async def session(folder: Path) -> None:
        async with house(folder) as relay:
            async with relay.client() as client:
                said = [ENVELOPE + chunks(content, cuts) for content, cuts in messages]
                await client.send(b"".join(said) + b"NOOP\r\n")
                count = sum(part.count(b"BDAT ") for part in said) + 2 * len(messages) + 1
                heard = await replies(client, count)
                assert {reply[:4] for reply in heard} == {"250 "}
            stored = [one.content for one in await relay.stored()]
            assert stored == [mended(content) for content, _ in messages]

    with tempfile.TemporaryDirectory() as folder:
        uvloop.run(session(Path(folder)))


async def test_a_large_message_has_no_seams(tmp_path: Path) -> None:
    """What is handed over in pieces while it arrives comes out whole, however chunks and segments are cut."""
    dice = random.Random(1)
    words = [b"\r\n", b"\n", b"\r", b".", b"\r\n.\r\n", b"x" * 50, b"\0\xff", dice.randbytes(100)]
    content = LETTER + b"".join(dice.choices(words, k=150_000))
    said = ENVELOPE + chunks(content, [5, 100_000, 100_001, 1_500_000]) + b"NOOP\r\n"
    async with house(tmp_path) as relay:
        async with relay.client() as client:
            while said:
                size = dice.choice([1, 1000, 65_536, 300_000])
                await client.send(said[:size])
                said = said[size:]
            assert {reply[:4] for reply in await replies(client, 8)} == {"250 "}
        (stored,) = await relay.stored()
        assert stored.content == mended(content)
        assert stored.row.size == len(stored.content)


async def test_a_message_that_becomes_too_large_is_refused_at_the_chunk(tmp_path: Path) -> None:
    """The reply comes once the chunk is swallowed, those behind it get the same, and the session goes on."""
    async with house(tmp_path, max_message_size=100_000) as relay, relay.client() as client:
        await client.send(ENVELOPE + b"BDAT 60000\r\n" + b"x" * 60_000)
        assert await replies(client, 3) == ["250 2.1.0", "250 2.1.5", "250 2.0.0"]
        await client.send(b"BDAT 60000\r\n" + b"QUIT\r\n" * 10_000 + b"BDAT 6 LAST\r\nQUIT\r\n")
        assert await replies(client, 2) == ["552 5.3.4", "552 5.3.4"]
        assert (await client.mail(LETTER)).startswith("250 2.0.0 ")
        assert len(await relay.stored()) == 1


async def pieces(relay: House) -> int:
    with relay.db.read() as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM content").scalar_one())


@pytest.mark.parametrize("end", ["RSET", "EHLO again.example", "", "DATA"])
async def test_what_is_given_up_leaves_nothing_behind(end: str, tmp_path: Path) -> None:
    """A large message that is reset, disturbed or abandoned between its chunks is removed, from memory too."""
    async with house(tmp_path) as relay:
        async with relay.client() as client:
            await client.send(ENVELOPE + b"BDAT 2000000\r\n" + b"x" * 2_000_000)
            await replies(client, 3)
            assert await pieces(relay) > 0
            assert relay.edge.bytes_in_flight > 0
            if end:
                await client.ask(end)
            else:
                client.writer.close()
            await eventually(lambda: relay.edge.bytes_in_flight == 0)

            async def removed() -> bool:
                return await pieces(relay) == 0

            await eventually(removed)
        assert await relay.everything() == []


async def test_a_bare_newline_is_refused_where_that_is_set(tmp_path: Path) -> None:
    """``bare_newline = "reject"`` holds for chunks too, but not for a CRLF that two of them share."""
    async with house(tmp_path, bare_newline="reject") as relay, relay.client() as client:
        await client.send(ENVELOPE + b"BDAT 2\r\na\nBDAT 1 LAST\r\nb")
        assert (await replies(client, 4))[3] == "550 5.6.1"
        await client.send(ENVELOPE + b"BDAT 2\r\na\rBDAT 2 LAST\r\n\nb")
        assert {reply[:4] for reply in await replies(client, 4)} == {"250 "}
        (stored,) = await relay.stored()
        assert stored.content == b"a\r\nb"
