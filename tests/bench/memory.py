"""python -m tests.bench.memory: what the node needs at the most while strangers pour in all they have.

First 200 connections bring 25 MB each at once, with the settings that a node comes with; who gets a 452 comes back, as
mail servers do. Then one client sends a gigabyte without an end: as a command, as content, as a chunk. Resident memory
is the kernel's own count, at its peak; afterwards the node must have every message that got 250, and no other.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import random
import time
from collections import Counter
from dataclasses import dataclass

from tests.bench.contenders import RECIPIENT, our_node
from tests.bench.report import run
from tests.support.memory import forget_peak, peak, resident

MB = 1_000_000
GIGABYTE = 1000 * MB
PIECE = 256 * 1024
PER_CLIENT = 50
"""Connections that one address may have."""
ENVELOPE = f"MAIL FROM:<a@b.example>\r\nRCPT TO:<{RECIPIENT}>\r\n".encode()


@dataclass(frozen=True)
class Flood:
    """``before`` what never ends is said this, which has so many ``replies``; ``after`` it this, for another one."""

    name: str
    before: bytes = b""
    replies: int = 0
    after: bytes = b""


def floods(size: int) -> list[Flood]:
    return [
        Flood("as a command"),
        Flood("as content", ENVELOPE + b"DATA\r\n", 3, b"\r\n.\r\n"),
        Flood("as a chunk", ENVELOPE + b"BDAT %d LAST\r\n" % size, 2),
    ]


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def reply(self) -> bytes:
        while (line := await self.reader.readline())[3:4] == b"-":
            pass
        return line

    async def pour(self, octets: memoryview) -> None:
        for start in range(0, len(octets), PIECE):
            self.writer.write(octets[start : start + PIECE])
            await self.writer.drain()


async def connect(port: int, number: int) -> Client:
    """After EHLO; from an address that has room for it."""
    source = f"127.0.1.{1 + number // PER_CLIENT}"
    client = Client(*await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0)))
    assert (await client.reply()).startswith(b"220 ")
    client.writer.write(b"EHLO bench.example\r\n")
    assert (await client.reply()).startswith(b"250 ")
    return client


async def bring(port: int, number: int, message: memoryview, begin: asyncio.Barrier, codes: Counter[str]) -> None:
    """One message, again and again until it is taken."""
    client = await connect(port, number)
    await begin.wait()
    while True:
        client.writer.write(ENVELOPE + b"DATA\r\n")
        replies = [await client.reply() for _ in range(3)]
        if replies[2].startswith(b"354"):
            await client.pour(message)
            client.writer.write(b".\r\n")
            replies.append(await client.reply())
        codes[replies[-1][:3].decode()] += 1
        if replies[-1].startswith(b"250"):
            break
        client.writer.write(b"RSET\r\n")
        await client.reply()
        await asyncio.sleep(1)
    client.writer.write(b"QUIT\r\n")
    await client.reply()
    client.writer.close()


async def crowd(port: int, connections: int, size: int) -> Counter[str]:
    """Everybody at once; how many replies to the end of a message had which code."""
    dice = random.Random(1)
    message = b"Subject: large\r\n\r\n" + base64.encodebytes(dice.randbytes(size * 3 // 4)).replace(b"\n", b"\r\n")
    begin, codes = asyncio.Barrier(connections), Counter[str]()
    await asyncio.gather(*(bring(port, number, memoryview(message), begin, codes) for number in range(connections)))
    return codes


async def pour(port: int, flood: Flood, size: int) -> str:
    """The last reply to a line that never ends."""
    client = await connect(port, 0)
    client.writer.write(flood.before)
    for _ in range(flood.replies):
        await client.reply()
    piece = memoryview(b"x" * MB)
    for _ in range(size // MB):
        await client.pour(piece)
    client.writer.write(flood.after)
    reply = (await client.reply()).decode().strip()
    client.writer.transport.abort()
    return reply


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.memory")
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--megabytes", type=int, default=25)
    parser.add_argument("--quick", action="store_true", help="20 connections of 5 MB, 100 MB of flood: does it run?")
    given = parser.parse_args(arguments)
    connections, megabytes = (20, 5) if given.quick else (given.connections, given.megabytes)
    endless = GIGABYTE // 10 if given.quick else GIGABYTE
    with our_node() as node:
        pid = node.pid
        idle = resident(pid)
        begun = time.monotonic()
        codes = asyncio.run(crowd(node.port, connections, megabytes * MB))
        seconds = time.monotonic() - begun
        assert node.waiting() == codes["250"] == connections
        print(f"\n{connections} connections, {megabytes} MB each, at once")
        print(f"{'resident before':28}{idle / MB:8.0f} MB\n{'resident at the most':28}{peak(pid) / MB:8.0f} MB")
        print(f"{'taken, all of them kept':28}{codes['250']:8}    in {seconds:.0f} s")
        print(
            f"{'put off (452), came back':28}{codes['452']:8}    others: {codes.total() - codes['250'] - codes['452']}"
        )
        print(f"\n{endless / MB:.0f} MB without an end, from one client")
        for flood in floods(endless):
            forget_peak(pid)
            usual, begun = resident(pid), time.monotonic()
            reply = asyncio.run(pour(node.port, flood, endless))
            speed = endless / MB / (time.monotonic() - begun)
            print(f"{flood.name:28}{(peak(pid) - usual) / MB:+8.0f} MB    {speed:.0f} MB/s    {reply}")


if __name__ == "__main__":
    run(main)
