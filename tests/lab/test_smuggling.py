"""SMTP smuggling as a primary sees it: one that ends a message at whatever looks like its end gets what we took.

The primaries are a Postfix that is told to take bare newlines as line ends, as all did until 2023, and the scripted
one; between them and the node is a tap that keeps what was sent, octet for octet.
"""

from __future__ import annotations

import asyncio
import re
import smtplib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.integration.edge.look_alikes import END, LOOK_ALIKES, letter
from tests.support import postfix
from tests.support.node import Node, running
from tests.support.primary import ScriptedPrimary
from tests.support.processes import free_port
from tests.support.tap import Tap, tap
from tests.support.waiting import eventually

pytestmark = pytest.mark.real

GULLIBLE = {"smtpd_forbid_bare_newline": "no", "smtpd_forbid_unauth_pipelining": "no", "smtpd_data_restrictions": ""}
BARE = re.compile(rb"(?<!\r)\n|\r(?!\n)")
ANY_END = re.compile(rb"(?:\r\n|\r|\n)\.(?=\r|\n)")
COUNT = len(LOOK_ALIKES)


def send(address: tuple[str, int], recipients: list[str], content: bytes) -> None:
    """A message, its octets as they are."""
    with closing(smtplib.SMTP(*address, timeout=60)) as client:
        client.ehlo("client.example")
        client.mail("sender@elsewhere.example")
        for recipient in recipients:
            assert client.rcpt(recipient)[0] == 250
        assert client.docmd("DATA")[0] == 354
        client.send(content + END)
        assert client.getreply()[0] == 250


async def carry_all(node: Node) -> None:
    """Bring every look-alike to the node, for both primaries."""
    recipients = ["someone@gold.example", "someone@silver.example"]
    for look_alike in LOOK_ALIKES:
        await asyncio.to_thread(send, node.address, recipients, letter(look_alike))


def commands(sent: bytes) -> Iterator[bytes]:
    """Each command of one connection, without the octets of chunks."""
    while sent:
        command, _, sent = sent.partition(b"\r\n")
        yield command
        if command.startswith(b"BDAT"):
            sent = sent[int(command.split()[1]) :]


def check(line: Tap, *, chunking: bool) -> None:
    """What was sent has no bare CR or LF, and as many ends of data as messages, for the most gullible reader; or as
    many last chunks, for one who counts their octets."""
    sent = b"".join(line.heard)
    assert BARE.search(sent) is None
    if chunking:
        said = [command for heard in line.heard for command in commands(bytes(heard))]
        assert sum(command.endswith(b" LAST") for command in said) == COUNT
        assert {command.split()[0] for command in said} == {b"EHLO", b"MAIL", b"RCPT", b"BDAT", b"QUIT"}
    else:
        assert len(ANY_END.findall(sent)) == COUNT
        assert sent.count(END) == COUNT


@pytest.mark.parametrize("chunking", [False, True], ids=["by DATA", "by BDAT"])
async def test_a_primary_gets_one_message_for_each(chunking: bool, tmp_path: Path) -> None:
    """However a message tries to smuggle another one, a Postfix that would fall for it gets the one that we took."""
    settings = {**GULLIBLE, "smtpd_discard_ehlo_keywords": "" if chunking else "chunking"}
    with postfix.primary("gold.example", port=free_port(), **settings) as peer:
        await asyncio.to_thread(send, ("127.0.0.1", peer.port), ["someone@gold.example"], letter(b"\n.\n"))
        await eventually(lambda: len(peer.messages("gold.example")) == 2)  # it does fall for it
        async with (
            ScriptedPrimary() as scripted,
            tap("127.0.0.1", peer.port) as to_postfix,
            tap(scripted.host, scripted.port) as to_scripted,
            running(tmp_path) as node,
        ):
            scripted.offers += ["CHUNKING"] if chunking else []
            await node.relayctl("domain", "add", "gold.example", "--primary", to_postfix.address)
            await node.relayctl("domain", "add", "silver.example", "--primary", to_scripted.address)
            await node.until("gold.example", health="up")
            await node.until("silver.example", health="up")
            await carry_all(node)
            await eventually(lambda: len(scripted.messages) >= COUNT)
            await eventually(lambda: len(peer.messages("gold.example")) >= 2 + COUNT and not peer.queued(), timeout=60)
            for domain in ("gold.example", "silver.example"):
                await node.until(domain, queued=0)
            check(to_postfix, chunking=chunking)
            check(to_scripted, chunking=chunking)
            assert {taken.recipients for taken in scripted.messages} == {("someone@silver.example",)}
            assert len(scripted.messages) == COUNT
            assert scripted.violations == []
        arrived = peer.messages("gold.example")[2:]
        assert len(arrived) == COUNT
        assert all(b"\nSubject: outer\n" in message for message in arrived)
