"""Start and stop: what can't be had is said at once, and nobody is hung up on in mid-sentence."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from relay.errors import StartFailed
from tests.integration.edge.house import house
from tests.support.processes import free_port


@pytest.mark.parametrize("where", ["127.0.0.1", "[::1]"])
async def test_a_busy_port_is_one_plain_line(where: str, tmp_path: Path) -> None:
    """It names the port and guesses the reason; what was opened before is closed again."""
    family, host = (socket.AF_INET6, "::1") if where == "[::1]" else (socket.AF_INET, "127.0.0.1")
    with socket.create_server((host, 0), family=family) as taken:
        listen, free = f"{where}:{taken.getsockname()[1]}", free_port()
        with pytest.raises(StartFailed) as failed:
            async with house(tmp_path, listen=[f"127.0.0.1:{free}", listen]):
                pass
    assert str(failed.value) == f"can't listen on {listen}: address already in use; is another node running?"
    socket.create_server(("127.0.0.1", free)).close()


@pytest.mark.parametrize("listen", ["192.0.2.1:2525", "no.such.host.invalid:2525"])
async def test_an_address_that_is_not_ours_is_one_plain_line(listen: str, tmp_path: Path) -> None:
    """Neither an address of another machine nor a name of none."""
    with pytest.raises(StartFailed, match=f"can't listen on {listen}: "):
        async with house(tmp_path, listen=[listen]):
            pass


async def test_all_listeners_take_mail(tmp_path: Path) -> None:
    """Each says where it is."""
    async with house(tmp_path, listen=["127.0.0.1:0", "[::1]:0"]) as relay:
        assert [listener.rpartition(":")[0] for listener in relay.edge.listeners] == ["127.0.0.1", "[::1]"]
        reader, writer = await asyncio.open_connection("::1", int(relay.edge.listeners[1].rpartition(":")[2]))
        assert (await reader.readline()).startswith(b"220 ")
        writer.write(b"EHLO a\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@gold.example>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n")
        await reader.read()
        writer.close()
        (stored,) = await relay.stored()
        assert b"([IPv6:::1])" in stored.received
        assert stored.row.client.ip == "::1"


async def test_idle_sessions_end_at_once(tmp_path: Path) -> None:
    """Before EHLO, after it, and between MAIL and DATA: 421, and nobody new is let in."""
    async with (
        house(tmp_path) as relay,
        relay.client(hello=False) as new,
        relay.client() as idle,
        relay.client() as begun,
    ):
        await new.reply()
        await begun.ask("MAIL FROM:<a@b.example>")
        await begun.ask("RCPT TO:<a@gold.example>")
        port = relay.port
        await asyncio.wait_for(relay.edge.close(60.0), 20.0)
        for client in (new, idle, begun):
            assert (await client.reply()).startswith("421 4.3.2")
            assert await client.ended()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)


async def test_a_message_on_its_way_is_taken_first(tmp_path: Path) -> None:
    """A session in the middle of its message gets 250 for it, and then 421, whatever it has sent ahead."""
    async with house(tmp_path) as relay, relay.client() as client:
        await client.begin()
        await client.send(b"Subject: x\r\n")
        closing = asyncio.create_task(relay.edge.close(60.0))
        await asyncio.sleep(0)
        await client.send(b"\r\nthe rest\r\n.\r\nMAIL FROM:<a@b.example>\r\n")
        assert (await client.reply()).startswith("250 2.0.0")
        assert (await client.reply()).startswith("421 4.3.2")
        await closing
        (stored,) = await relay.stored()
        assert stored.content == b"Subject: x\r\n\r\nthe rest\r\n"


@pytest.mark.parametrize("sent", [b"half", b"x" * 3_000_000])
async def test_grace_is_bounded(sent: bytes, tmp_path: Path) -> None:
    """A client that doesn't finish its message gets 421 when the time is over, and leaves nothing."""
    async with house(tmp_path) as relay, relay.client() as client:
        await client.begin()
        await client.send(sent)
        await asyncio.wait_for(relay.edge.close(0.2), 20.0)
        assert (await client.reply()).startswith("421 4.3.2")
        assert await client.ended()
        assert await relay.stored() == []
        assert relay.edge.bytes_in_flight == 0


async def test_a_client_that_reads_nothing_does_not_keep_a_node(tmp_path: Path) -> None:
    """What it hasn't taken of our replies is given up at the end of the grace."""
    async with house(tmp_path) as relay, relay.client(window=4096) as client:
        await client.choke()
        await asyncio.wait_for(relay.edge.close(0.2), 20.0)
        assert relay.edge.sessions == 0
