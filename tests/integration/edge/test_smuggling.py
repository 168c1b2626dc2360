"""SMTP smuggling: nothing but CRLF.CRLF ends a message, however it comes, and what is stored has no other line end.

(What a primary makes of it is in tests/lab/test_smuggling.py.)
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from tests.integration.edge.house import Client, House, house
from tests.integration.edge.look_alikes import END, LOOK_ALIKES, SMUGGLED, has_bare, letter, name
from tests.support.waiting import eventually

ENVELOPE = b"MAIL FROM:<sender@elsewhere.example>\r\nRCPT TO:<someone@gold.example>\r\n"
BARE = re.compile(rb"(?<!\r)\n|\r(?!\n)")


def expected(look_alike: bytes, mode: str) -> str:
    return "550 5.6.11" if mode == "reject" and has_bare(look_alike) else "250 2.0.0 "


async def send_cut(relay: House, client: Client, said: bytes, cuts: list[int]) -> str:
    """Send a message in segments that end there, each being read before the next is sent; the reply at its end."""
    begin = 0
    for cut in cuts:
        await client.send(said[begin:cut])
        await eventually(lambda: relay.edge.bytes_in_flight == cut, every=0.0001)  # noqa: B023 - it is called at once
        begin = cut
    return await client.ask(said[begin:])


@pytest.mark.parametrize("mode", ["normalize", "reject"])
async def test_no_look_alike_ends_a_message(mode: str, tmp_path: Path) -> None:
    """Each is text of the one message that it stands in, or a reason to refuse that; nothing behind it is a command."""
    async with house(tmp_path, bare_newline=mode) as relay:
        wrong, taken = [], 0
        for look_alike in LOOK_ALIKES:
            async with relay.client() as client:
                await client.send(ENVELOPE + b"DATA\r\n")
                heard = [await client.reply() for _ in range(3)]
                assert heard[2].startswith("354 "), heard
                await client.send(letter(look_alike) + END + b"QUIT\r\n")
                async with asyncio.timeout(10):
                    rest = (await client.reader.read()).decode().splitlines()
            taken += rest[0].startswith("250 ")
            if [reply[:10] for reply in rest] != [expected(look_alike, mode), "221 2.0.0 "]:
                wrong.append((name(look_alike), rest))
        assert wrong == []
        stored = await relay.stored()
        assert len(stored) == taken
        assert taken == sum(expected(look_alike, mode).startswith("250") for look_alike in LOOK_ALIKES)
        assert {(one.sender, *one.recipients) for one in stored} == {
            ("sender@elsewhere.example", "someone@gold.example")
        }
        assert [one.content for one in stored if BARE.search(one.content) or SMUGGLED not in one.content] == []


@pytest.mark.parametrize("mode", ["normalize", "reject"])
@pytest.mark.parametrize("verb", ["DATA", "BDAT"])
async def test_segments_make_no_end(verb: str, mode: str, tmp_path: Path) -> None:
    """Cut between any two octets of the look-alike, or between all of them and of the end, the message is the same."""
    async with house(tmp_path, bare_newline=mode) as relay:
        for look_alike in LOOK_ALIKES[:: 1 if verb == "DATA" else 7]:
            said = letter(look_alike)
            begin = said.index(look_alike + SMUGGLED)
            end = begin + len(look_alike)
            command, last = (b"DATA\r\n", END) if verb == "DATA" else (b"BDAT %d LAST\r\n" % len(said), b"")
            everywhere = [*range(begin, end + 1), *range(len(said), len(said) + len(last))]
            async with relay.client() as client:
                for cuts in (everywhere, *([cut] for cut in range(begin + 1, end))):
                    count = len(relay.accepted)
                    await client.send(ENVELOPE + command)
                    for _ in range(3 if verb == "DATA" else 2):
                        assert (await client.reply())[0] in "23"
                    reply = await send_cut(relay, client, said + last, cuts)
                    assert reply.startswith(expected(look_alike, mode)), (name(look_alike), cuts, reply)
                    assert len(relay.accepted) - count == reply.startswith("250 "), (name(look_alike), cuts)
                assert (await client.ask("NOOP")).startswith("250 "), name(look_alike)
