"""A line of some length: a TCP proxy whose octets take a while, each way.

    python -m tests.bench.distance --port 2525 --to 2526 --delay 0.025

A process of its own, so that it takes no turn of those that are measured. A connection costs its three-way handshake's
round trip as well, for loopback's own is instant.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvloop

from tests.support.processes import listens, running, tail
from tests.support.waiting import wait_until

WINDOW = 4 * 1024 * 1024
"""Octets that may be on their way in one direction."""


@contextmanager
def distance(port: int, to: int, delay: float, output: Path) -> Iterator[None]:
    """``port`` leads to ``to``, ``delay`` seconds away, while the block runs; entered once it answers."""
    argv = [sys.executable, "-m", "tests.bench.distance", "--port", str(port), "--to", str(to), "--delay", str(delay)]
    with running(argv, output) as process:
        wait_until(lambda: listens(port) or process.poll() is not None, every=0.001)
        assert process.poll() is None, f"the proxy ended: {tail(output)}"
        yield


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    """What is read is written ``delay`` seconds later, in order; then the end of it."""
    loop = asyncio.get_running_loop()
    way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
    room = asyncio.Semaphore(WINDOW // 65536)

    async def arrive() -> None:
        while True:
            due, octets = await way.get()
            await asyncio.sleep(due - loop.time())
            if not octets:
                writer.close()
                return
            writer.write(octets)
            room.release()
            await writer.drain()

    arriving = asyncio.create_task(arrive())
    try:
        while octets := await reader.read(65536):
            await room.acquire()
            way.put_nowait((loop.time() + delay, octets))
    except ConnectionError:
        pass
    way.put_nowait((loop.time() + delay, b""))
    await asyncio.gather(arriving, return_exceptions=True)


async def serve(port: int, to: int, delay: float) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(2 * delay)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", to)
        except OSError:
            writer.close()
            return
        await asyncio.gather(carry(reader, far_writer, delay), carry(far_reader, writer, delay))

    server = await asyncio.start_server(connected, "127.0.0.1", port)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--to", type=int, required=True)
    parser.add_argument("--delay", type=float, required=True)
    given = parser.parse_args()
    uvloop.run(serve(given.port, given.to, given.delay))


if __name__ == "__main__":
    main()
