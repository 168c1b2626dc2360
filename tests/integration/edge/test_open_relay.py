"""Nobody is sent on: every trick of refused.txt gets its reply, and none leaves anything behind."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.integration.edge.house import Client, house

TABLE = Path(__file__).with_name("refused.txt")
IN_A_SESSION = 8
"""Tricks; each costs two of the twenty errors that a session may make."""


@dataclass(frozen=True)
class Trick:
    """A line of the table: what is said before it, the command, the reply to it."""

    before: str
    command: str
    reply: str


def tricks() -> list[Trick]:
    """The table, read."""
    found: list[Trick] = []
    before = ""
    for line in TABLE.read_text().splitlines():
        if line.startswith("  "):
            found.append(Trick(before, line[13:], line[2:11]))
        elif line and not line.startswith("#"):
            before = line
    return found


def octets(command: str) -> bytes:
    """A command as it is sent."""
    longer = re.sub(r"(.)\{(\d+)\}", lambda match: match[1] * int(match[2]), command)
    return re.sub(rb"\\x([0-9a-f]{2})", lambda match: bytes([int(match[1], 16)]), longer.encode()) + b"\r\n"


async def attempt(client: Client, trick: Trick) -> str:
    """What is wrong about the replies to it; nothing, where they are as they should be."""
    await client.ask("RSET")
    assert (await client.ask(trick.before)).startswith("250"), trick
    reply = await client.ask(octets(trick.command))
    data = await client.ask("DATA")
    if data.startswith("354 "):
        await client.ask(".")
    return "" if reply[:9] == trick.reply and data[:1] == "5" else f"{trick.command} got {reply}; DATA: {data}"


async def test_no_trick_is_taken(tmp_path: Path) -> None:
    """Each gets the reply that the table says, and a transaction that it was tried in takes no message."""
    table = tricks()
    wrong = []
    async with house(tmp_path) as relay:
        await relay.add_domain("xn--bcher-kva.example")
        for start in range(0, len(table), IN_A_SESSION):
            async with relay.client() as client:
                wrong += [await attempt(client, trick) for trick in table[start : start + IN_A_SESSION]]
        assert [one for one in wrong if one] == []
        assert len(wrong) > 100
        assert await relay.everything() == []
        async with relay.client() as client:
            assert (await client.mail(b"still here")).startswith("250 2.0.0 ")
