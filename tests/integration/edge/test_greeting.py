"""Who waits for the banner, and who doesn't."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from relay import events
from tests.integration.edge.house import house
from tests.support.waiting import eventually

LONG = {"greet_wait": 30.0}
"""Longer than any of these tests waits for a banner."""


def early_talkers() -> float:
    labels = {"domain": "", "reason": "early-talker"}
    return events.registry.get_sample_value("relay_refused_total", labels) or 0.0


async def test_a_stranger_waits_for_its_banner(tmp_path: Path) -> None:
    """Then it is served like anybody."""
    async with house(tmp_path, limits={"greet_wait": 0.2}) as relay, relay.client(hello=False) as client:
        began = asyncio.get_running_loop().time()
        assert (await client.reply()).startswith("220 ")
        assert asyncio.get_running_loop().time() - began > 0.15
        await client.ask("EHLO client.example")
        assert (await client.mail(b"x")).startswith("250 ")


@pytest.mark.parametrize("said", [b"EHLO early.example\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01"])
async def test_who_speaks_first_is_refused(said: bytes, tmp_path: Path) -> None:
    """Without a banner, and nothing of what it said is carried out."""
    async with house(tmp_path, limits=LONG) as relay, relay.client(hello=False) as client:
        before = early_talkers()
        await client.send(said)
        assert (await client.reply()).startswith("554 5.5.1 Wait for the greeting")
        assert await client.ended()
        await eventually(lambda: relay.edge.sessions == 0)
        assert early_talkers() == before + 1


async def test_who_brought_mail_is_greeted_at_once(tmp_path: Path) -> None:
    """From its first accepted message on; mail that is refused makes nobody known."""
    async with house(tmp_path) as relay:
        async with relay.client() as client:
            await client.ask("MAIL FROM:<a@b.example>")
            await client.ask("RCPT TO:<a@nobody.example>")
        relay.edge.reconfigure_limits(relay.settings.limits.model_copy(update=LONG))
        async with relay.client(hello=False) as client:
            await client.send("EHLO early.example")
            assert (await client.reply()).startswith("554 ")
        relay.edge.reconfigure_limits(relay.settings.limits)
        async with relay.client() as client:
            assert (await client.mail(b"x")).startswith("250 ")
        relay.edge.reconfigure_limits(relay.settings.limits.model_copy(update=LONG))
        for _ in range(3):
            async with relay.client(hello=False) as client:
                await client.send("EHLO early.example")
                assert (await client.reply()).startswith("220 ")
                assert (await client.reply()).startswith("250-")


async def test_who_is_exempt_is_greeted_at_once(tmp_path: Path) -> None:
    """A monitor, say, that brings no mail."""
    limits = {**LONG, "exempt": ["127.0.0.1"]}
    async with house(tmp_path, limits=limits) as relay, relay.client(hello=False) as client:
        assert (await client.reply()).startswith("220 ")


async def test_a_node_that_stops_waits_for_no_stranger(tmp_path: Path) -> None:
    """It gets 421 for a banner; one that has gone meanwhile leaves nothing behind."""
    async with house(tmp_path, limits=LONG) as relay, relay.client(hello=False) as client:
        async with relay.client(hello=False):
            await eventually(lambda: relay.edge.sessions == 2)
        await eventually(lambda: relay.edge.sessions == 1)
        closing = asyncio.create_task(relay.edge.close(5.0))
        assert (await client.reply()).startswith("421 4.3.2")
        await closing
