"""python -m tests.bench.slowloris: how long others wait for their 250 while one client holds on to all it can get.

A process keeps a thousand connections from one address going, an octet a second on each that is let in, and comes back
at once wherever it is turned away. Meanwhile senders at other addresses bring a message of 4 KiB for each connection,
as ``smtp-source`` would. Measured, without the attack and with it: from connecting to the 250 that means durable.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.bench.contenders import RECIPIENT, our_node
from tests.bench.report import run

ATTACKER = "127.0.0.9"
SENDERS = 20
PAUSE = 0.05
"""Seconds between two messages of a sender: what is measured is waiting, not speed."""
LETTER = b"Subject: x\r\n\r\n" + b"x" * 70 + b"\r\n" * 2 + (b"y" * 70 + b"\r\n") * 55


async def hold(port: int) -> None:
    """One connection after the other, each for as long as the node bears it."""
    while True:
        with suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(ATTACKER, 0))
            try:
                if (await reader.readline()).startswith(b"220"):
                    writer.write(f"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<{RECIPIENT}>\r\nDATA\r\n".encode())
                    while not reader.at_eof():
                        writer.write(b"x")
                        await asyncio.sleep(1)
            finally:
                writer.transport.abort()
        await asyncio.sleep(1)


def attack(port: int, connections: int) -> None:
    async def all_of_them() -> None:
        await asyncio.gather(*(hold(port) for _ in range(connections)))

    asyncio.run(all_of_them())


@contextmanager
def under_attack(port: int, connections: int) -> Iterator[None]:
    """Until the block is left."""
    attacker = multiprocessing.get_context("spawn").Process(target=attack, args=(port, connections), daemon=True)
    attacker.start()
    try:
        time.sleep(5)  # all of them are there, and those that were turned away are back
        yield
        assert attacker.is_alive()
    finally:
        attacker.kill()
        attacker.join()


async def bring(port: int, source: str, until: float) -> list[float]:
    """Messages from one address, one a connection; how long each took."""
    took = []
    while time.monotonic() < until:
        begun = time.monotonic()
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
        for command in (
            b"",
            b"EHLO other.example\r\n",
            f"MAIL FROM:<a@b.example>\r\nRCPT TO:<{RECIPIENT}>\r\nDATA\r\n".encode(),
            LETTER + b".\r\n",
        ):
            writer.write(command)
            replies = command.count(b"\r\n") if command.startswith(b"MAIL") else 1
            for _ in range(replies):
                while (line := await reader.readline())[3:4] == b"-":
                    pass
                assert line[:1] in b"23" and line, line
        took.append(time.monotonic() - begun)
        writer.transport.abort()
        await asyncio.sleep(PAUSE)
    return took


def measure(port: int, seconds: float) -> list[float]:
    async def all_of_them() -> list[list[float]]:
        until = time.monotonic() + seconds
        return await asyncio.gather(*(bring(port, f"127.0.1.{number}", until) for number in range(1, SENDERS + 1)))

    return [took for sender in asyncio.run(all_of_them()) for took in sender]


def show(name: str, took: list[float]) -> str:
    centiles = statistics.quantiles(took, n=100)
    return (
        f"{name:28}{len(took):9}{centiles[49] * 1000:10.0f} ms{centiles[98] * 1000:10.0f} ms{max(took) * 1000:10.0f} ms"
    )


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.slowloris")
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--quick", action="store_true", help="3 seconds each: does it run at all?")
    given = parser.parse_args(arguments)
    seconds = 3 if given.quick else given.seconds
    with our_node() as node:
        measure(node.port, 2)  # from here on these senders are known, and greeted at once
        alone = measure(node.port, seconds)
        with under_attack(node.port, given.connections):
            attacked = measure(node.port, seconds)
    print(f"\nFrom connecting to 250, {SENDERS} senders, {given.connections} slow connections of one client")
    print(f"{'':28}{'messages':>9}{'median':>13}{'99th':>13}{'longest':>13}")
    print(show("without them", alone))
    print(show("with them", attacked))


if __name__ == "__main__":
    run(main)
