"""A thousand connections that go on for ever, from one client: it gets its share and no more, others are served."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from relay.clock import Clock
from relay.edge.patience import TIMEOUTS
from tests.integration.edge.house import Client, House, house
from tests.support.waiting import eventually

ENVELOPE = b"MAIL FROM:<slow@elsewhere.example>\r\nRCPT TO:<someone@gold.example>\r\n"
SLOW, OTHER = "127.0.0.9", "127.0.0.2"
CONNECTIONS = 1000
SHARE = 50
"""What one client gets of them, by default."""
TIMEOUT = 0.4


async def dribble(client: Client, begin: bytes, then: bytes, tempo: float) -> int:
    """Say ``begin``, then ``then`` over and over, octet by octet, as long as the relay listens; how many that were."""
    said = 0
    with suppress(ConnectionError):
        client.writer.write(begin)
        while not client.reader.at_eof() and not client.writer.transport.is_closing():
            client.writer.write(then[said % len(then) :][:1])
            said += 1
            await asyncio.sleep(tempo)
    return said


class Stopwatch:
    """A monotonic clock that stands until it is started."""

    def __init__(self) -> None:
        self._began: float | None = None

    def __call__(self) -> float:
        return 1000.0 + (time.monotonic() - self._began if self._began is not None else 0.0)

    def start(self) -> None:
        self._began = time.monotonic()


@asynccontextmanager
async def connected(relay: House, count: int) -> AsyncIterator[list[Client]]:
    """So many connections from the slow client, in groups: a listener's backlog is finite."""
    made: list[Client] = []
    try:
        while len(made) < count:
            made += await asyncio.gather(*(relay.connect(source=SLOW) for _ in range(min(100, count - len(made)))))
        yield made
    finally:
        for client in made:
            client.writer.transport.abort()


async def serve_others(relay: House, messages: int) -> None:
    for _ in range(messages):
        async with relay.client(source=OTHER) as client:
            assert (await client.mail(b"Subject: x\r\n\r\nx")).startswith("250 2.0.0 ")


@pytest.mark.parametrize(
    ("begin", "then"),
    [
        (b"", b"EHLO slow.example "),
        (b"EHLO slow.example\r\n", b"N"),
        (b"EHLO slow.example\r\n" + ENVELOPE + b"DATA\r\n", b"X-Slow: y\r\n"),
        (b"EHLO slow.example\r\n" + ENVELOPE + b"BDAT 1000000 LAST\r\n", b"x"),
    ],
    ids=["banner", "command", "DATA", "BDAT"],
)
async def test_a_thousand_slow_connections_keep_nobody_out(begin: bytes, then: bytes, tmp_path: Path) -> None:
    """Fifty are let in and end in bounded time, the others are told so at once, and other clients' mail is taken."""
    watch = Stopwatch()
    async with (
        house(tmp_path, clock=Clock(time.time, watch), timeout=TIMEOUT) as relay,
        connected(relay, CONNECTIONS) as clients,
    ):
        banners = [await client.reply() for client in clients]
        assert sorted({banner[:9] for banner in banners}) == ["220 relay", "421 4.7.0"]
        slow = [client for client, banner in zip(clients, banners, strict=True) if banner.startswith("220 ")]
        assert len(slow) == SHARE
        watch.start()  # before that none of them is late, however long a busy machine takes to let all of them in
        tasks = [asyncio.create_task(dribble(client, begin, then, TIMEOUT / 4)) for client in slow]
        await serve_others(relay, 10)
        async with asyncio.timeout(TIMEOUTS * TIMEOUT + 20):
            said = await asyncio.gather(*tasks)
        assert max(said) < 6 * TIMEOUTS
        await eventually(lambda: relay.edge.sessions == 0)
        assert len(await relay.stored()) == 10
        async with relay.client(source=SLOW) as client:
            assert (await client.mail(b"x")).startswith("250 2.0.0 ")
