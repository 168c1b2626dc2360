"""Odd messages all the way: what a primary gets is what the client said, below our one Received line."""

from __future__ import annotations

import asyncio
import email
import random
import smtplib
from contextlib import closing
from pathlib import Path

from tests.support.node import Node, running
from tests.support.primary import ScriptedPrimary
from tests.support.waiting import eventually

HEADER = b"From: a@elsewhere.example\r\nSubject: odd\r\n"
RANDOM = random.Random(7).randbytes(3000).replace(b"\r", b"").replace(b"\n", b"")
ODD = {
    "empty": b"",
    "an empty line": b"\r\n",
    "header only": HEADER,
    "header and an empty line": HEADER + b"\r\n",
    "no header": b"Hello, there is no header at all.\r\n",
    "body only": b"\r\nHello\r\n",
    "begins with a space": b" by mx.gold.example; Thu, 1 Jan 1970 00:00:00 +0000\r\nX-Forged: yes\r\n\r\nHello\r\n",
    "begins with a tab": b"\tfor <ceo@gold.example>\r\n\r\nHello\r\n",
    "begins with a bare CR": b"\rHello\r\n",
    "8-bit header": b"Subject: Gr\xfc\xdfe \xff\xfe\r\nX-\xe9: \xc3\x28\r\n" + HEADER + b"\r\nHello\r\n",
    "NUL in the header": b"Subject: a\0b\r\n\0\r\n\0X: y\r\n" + HEADER + b"\r\nHello\0\r\n\0",
    "no name, no colon": b": x\r\nno colon\r\nSpace Before : x\r\n" + HEADER + b"\r\nHello\r\n",
    "only a colon": b":\r\n\r\n:\r\n",
    "empty folding": b"Subject: a\r\n \r\n\t\r\n b\r\n\r\nHello\r\n",
    "From line": b"From a@elsewhere.example Thu Jan  1 00:00:00 1970\r\n" + HEADER + b"\r\n>From x\r\nFrom y\r\n",
    "escape sequences": b"Subject: \x1b[2J\x07\x9b\r\n\r\n\x1b]0;x\x07\r\n",
    "a thousand in a line": HEADER + b"\r\n" + b"x" * 998 + b"\r\n" + b"y" * 999 + b"\r\n" + b"z" * 100_000 + b"\r\n",
    "a long header line": b"Subject: " + b"x" * 300_000 + b"\r\n\r\nHello\r\n",
    "many headers": b"".join(b"X-%d: y\r\n" % number for number in range(20_000)) + b"\r\nHello\r\n",
    "many Received": b"Received: from x by y.example; date\r\n" * 100 + b"\r\nHello\r\n",
    "dots": HEADER + b"\r\n.\r\n..\r\n.x\r\n. \r\n.",
    "any octets": HEADER + b"\r\n" + RANDOM,
    "no final CRLF": HEADER + b"\r\nHello",
}
LARGE = HEADER + b"\r\n" + RANDOM.ljust(4094, b"x") + b"\r\n" * 2
OCTETS = 10_000_000
"""Of the largest: 40 pieces. Each waits for the disk before the next is read, and on a machine whose disk is busy with
other tests that may be half a second."""


def as_carried(content: bytes) -> bytes:
    """What comes out: lines that end, a bare CR as a space."""
    content = content.replace(b"\r\n", b"\n").replace(b"\r", b" ").replace(b"\n", b"\r\n")
    return content if content.endswith(b"\r\n") or not content else content + b"\r\n"


def send(node: Node, contents: list[bytes]) -> None:
    with closing(smtplib.SMTP(*node.address, timeout=60)) as client:
        client.ehlo("client.example")
        for number, content in enumerate(contents):
            client.mail("sender@elsewhere.example")
            client.rcpt(f"{number}@gold.example")
            assert client.docmd("DATA")[0] == 354
            lines = content if content.endswith(b"\r\n") or not content else content + b"\r\n"
            client.send((b"\r\n" + lines).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n")
            assert client.getreply()[0] == 250, content[:100]


async def test_odd_messages_arrive_as_they_were_sent(tmp_path: Path) -> None:
    """No header, odd header, any octets, lines of any length, 10 MB: byte for byte, and our Received line is whole."""
    contents = [*ODD.values(), LARGE * (OCTETS // len(LARGE))]
    async with ScriptedPrimary() as primary, running(tmp_path) as node:
        await node.relayctl("domain", "add", "gold.example", "--primary", primary.address)
        await node.until("gold.example", health="up")
        await asyncio.to_thread(send, node, contents)
        await eventually(lambda: len(primary.messages) >= len(contents), timeout=60)
        assert len(primary.messages) == len(contents)
        assert primary.violations == []
        arrived = {taken.recipients: taken.content for taken in primary.messages}
    for number, (name, content) in enumerate([*ODD.items(), ("10 MB", contents[-1])]):
        found, carried = arrived[(f"{number}@gold.example",)], as_carried(content)
        assert found.endswith(carried), name
        ours = found[: len(found) - len(carried)]
        assert ours.endswith(b"+0000\r\n"), name
        read = email.message_from_bytes(found[:10_000])["Received"]
        assert read.startswith(email.message_from_bytes(ours)["Received"]), name
