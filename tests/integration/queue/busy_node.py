"""A process that accepts and delivers without a pause until it is killed, and says what it was told is on disk.

    python -m tests.integration.queue.busy_node FOLDER [URL of a database]

Each line is printed after the queue returned: ``accepted NUMBER SEED`` or ``delivered NUMBER``.
"""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

import uvloop

from relay import log
from relay.db import Database
from relay.queue.upload import Upload
from tests.integration.queue.material import House, house, outcomes


def content(seed: int) -> bytes:
    """Content that can be made again from its seed; every eighth is large."""
    size = 300_000 if seed % 8 == 0 else seed % 5000
    return random.Random(seed).randbytes(size)


async def _accept(home: House, seeds: range) -> None:
    for seed in seeds:
        data: bytes | Upload = content(seed)
        if len(data) > 100_000:  # type: ignore[arg-type]
            upload = home.queue.upload()
            await upload.write(data)  # type: ignore[arg-type]
            data = upload
        numbers = await home.accept("a@acme.example", "b@bolt.example", content=data, size=len(content(seed)))
        print(*(f"accepted {number} {seed}\n" for number in numbers), sep="", end="", flush=True)


async def _deliver(home: House) -> None:
    while True:
        mail = await home.queue.due(home.bolt, home.clock.now(), limit=5)
        await home.queue.record(outcomes(mail))
        print(*(f"delivered {message.id}\n" for message in mail), sep="", end="", flush=True)
        await asyncio.sleep(0.005)


async def main(folder: Path, url: str | None = None) -> None:
    async with house(folder, db=Database(url) if url else None) as home:
        lanes = (_accept(home, range(lane * 1_000_000, (lane + 1) * 1_000_000)) for lane in range(8))
        await asyncio.gather(_deliver(home), *lanes)


if __name__ == "__main__":
    log.silence()
    uvloop.run(main(Path(sys.argv[1]), *sys.argv[2:]))
