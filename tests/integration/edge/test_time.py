"""How long a client is waited for (RFC 5321 4.5.3.2)."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from relay import events
from relay.clock import Clock
from relay.edge.connection import LINGER
from relay.edge.patience import TIMEOUTS
from tests.integration.edge.house import House, house
from tests.support.waiting import eventually

TIMEOUT = 0.5
"""Short, so that the edge looks often; minutes pass by turning its clock."""


class Wristwatch:
    """A monotonic clock that is turned by hand."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds

    @property
    def clock(self) -> Clock:
        return Clock(time.time, self)


def timeouts() -> float:
    """How many sessions have ended for taking too long."""
    labels = {"domain": "gold.example", "reason": "timeout"}
    return events.registry.get_sample_value("relay_refused_total", labels) or 0.0


async def looked(relay: House, arriving: int) -> None:
    """Wait until the edge has looked at its sessions, and seen so many bytes of content."""
    await eventually(lambda: relay.edge.bytes_in_flight == arriving)
    await eventually(lambda: events.registry.get_sample_value("relay_arriving_bytes") == arriving)


@pytest.mark.parametrize(
    ("begun", "replies", "rest"),
    [
        (b"", 0, b"NOOP\r\n"),
        (b"NOO", 0, b"P\r\n"),
        (b"MAIL FROM:<a@b.example>\r\n", 1, b"NOOP\r\n"),
        (b"N\nOO", 1, b"\r\nNOOP\r\n"),
        (b"x" * 5000, 1, b"\r\nNOOP\r\n"),
    ],
)
async def test_an_idle_client_is_told_and_left(begun: bytes, replies: int, rest: bytes, tmp_path: Path) -> None:
    """Without a whole command for the length of the time-out a session ends with 421, and not before."""
    watch = Wristwatch()
    async with house(tmp_path, clock=watch.clock, timeout=TIMEOUT) as relay, relay.client() as client:
        await client.send(begun)
        for _ in range(replies):
            await client.reply()
        watch.seconds += 0.9 * TIMEOUT
        assert (await client.ask(rest)).startswith("250 ")
        watch.seconds += 1.1 * TIMEOUT
        assert (await client.reply()).startswith("421 4.4.2")
        assert await client.ended()


async def test_a_command_that_dribbles_in_is_not_waited_for(tmp_path: Path) -> None:
    """Octets alone are no progress: a command is complete in time or the session ends."""
    watch = Wristwatch()
    async with house(tmp_path, clock=watch.clock, timeout=TIMEOUT) as relay, relay.client() as client:
        for _ in range(3):
            await client.send(b"N")
            watch.seconds += TIMEOUT / 2
        assert (await client.reply()).startswith("421 4.4.2")


async def test_a_slow_honest_sender_is_waited_for(tmp_path: Path) -> None:
    """While content keeps coming, a message may take many times the time-out."""
    watch = Wristwatch()
    async with house(tmp_path, clock=watch.clock, timeout=TIMEOUT) as relay, relay.client() as client:
        await client.begin()
        for turn in range(1, 2 * TIMEOUTS):
            await client.send(b"x" * 10_000)
            await looked(relay, 10_000 * turn)
            watch.seconds += 0.9 * TIMEOUT
        assert (await client.ask(b"\r\n.\r\n")).startswith("250 2.0.0")


async def test_content_that_dribbles_in_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    """A client that sends next to nothing can't keep a session, and leaves nothing behind."""
    watch = Wristwatch()
    async with house(tmp_path, clock=watch.clock, timeout=TIMEOUT) as relay, relay.client() as client:
        await client.begin()
        for turn in range(1, TIMEOUTS + 3):
            await client.send(b"x")
            await eventually(lambda turn=turn: relay.edge.bytes_in_flight in (turn, 0))
            watch.seconds += 0.9 * TIMEOUT
        assert (await client.reply()).startswith("421 4.4.2")
        await looked(relay, 0)
        assert await relay.stored() == []


async def test_commands_alone_do_not_keep_a_session(tmp_path: Path) -> None:
    """However busy it looks, a session without a message ends in bounded time; one with messages goes on."""
    watch = Wristwatch()
    async with house(tmp_path, clock=watch.clock, timeout=TIMEOUT) as relay, relay.client() as client:
        for _ in range(3 * TIMEOUTS):
            assert (await client.mail(b"x")).startswith("250 ")
            watch.seconds += 0.9 * TIMEOUT
        replies = []
        for _ in range(TIMEOUTS + 3):
            replies.append(await client.ask("NOOP"))
            watch.seconds += 0.9 * TIMEOUT
        replies.append(await client.reply())
        assert "421 4.4.2 Timeout, closing the connection" in replies


async def test_a_client_that_takes_no_replies_is_left(tmp_path: Path) -> None:
    """A session that can't get rid of its replies ends by the same clock, its last words untaken."""
    watch = Wristwatch()
    async with house(tmp_path, clock=watch.clock, timeout=TIMEOUT) as relay, relay.client(window=4096) as client:
        await client.choke()
        before = timeouts()
        watch.seconds += 1.1 * TIMEOUT
        await eventually(lambda: timeouts() == before + 1)
        assert relay.edge.sessions == 1
        watch.seconds += LINGER + 1
        await eventually(lambda: relay.edge.sessions == 0)
