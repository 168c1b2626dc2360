"""What one client may ask of a node: sizes, counts, errors, connections."""

from __future__ import annotations

import asyncio
import tracemalloc
from pathlib import Path

import pytest

from tests.integration.edge.house import house
from tests.support.waiting import eventually


@pytest.mark.parametrize("size", [65_536 - 2, 65_536 - 1, 3_000_000])
async def test_a_message_that_is_too_large_is_refused_at_its_end(size: int, tmp_path: Path) -> None:
    """To the byte; the rest is swallowed without being kept, and the session goes on."""
    async with house(tmp_path, max_message_size=65_536) as relay, relay.client() as client:
        reply = await client.mail(b"x" * size)
        assert reply.startswith("250 2.0.0" if size + 2 <= 65_536 else "552 5.3.4")
        assert relay.edge.bytes_in_flight == 0
        assert (await client.mail(b"small")).startswith("250 2.0.0")


async def test_stuffed_dots_do_not_count(tmp_path: Path) -> None:
    """The size of a message is that of what it says (RFC 1870 section 3)."""
    line = b".\r\n"
    content = line * (65_536 // len(line))
    async with house(tmp_path, max_message_size=65_536) as relay, relay.client() as client:
        await client.begin()
        await client.send(content.replace(b".", b".."))
        await eventually(lambda: relay.edge.bytes_in_flight > 65_536)
        assert (await client.ask(b".\r\n")).startswith("250 2.0.0")
        (stored,) = await relay.stored()
        assert stored.content == content


async def test_a_message_that_never_ends_costs_no_memory(tmp_path: Path) -> None:
    """Past the limit nothing is kept, without any line end."""
    piece = b"x" * 100_000
    async with house(tmp_path, max_message_size=100_000) as relay, relay.client() as client:
        await client.begin()
        tracemalloc.start()
        try:
            for _ in range(200):
                await client.send(piece)
            await eventually(lambda: relay.edge.bytes_in_flight == 0)
            assert tracemalloc.get_traced_memory()[1] < 5_000_000
        finally:
            tracemalloc.stop()
        assert (await client.ask(b"\r\n.\r\n")).startswith("552 5.3.4")


async def test_what_does_not_fit_into_memory_is_deferred(tmp_path: Path) -> None:
    """The bytes of all sessions together are bounded: 452 past that, at MAIL where it is known."""
    async with house(tmp_path, memory=1024**2) as relay, relay.client() as one, relay.client() as other:
        await one.begin()
        await one.send(b"x" * 700_000)
        await eventually(lambda: relay.edge.bytes_in_flight >= 700_000)
        assert (await other.ask("MAIL FROM:<a@b.example> SIZE=500000")).startswith("452 4.3.1")
        await other.begin()
        assert (await other.ask(b"y" * 700_000 + b"\r\n.\r\n")).startswith("452 4.3.1")
        assert (await one.ask(b"\r\n.\r\n")).startswith("250 2.0.0")
        assert relay.edge.bytes_in_flight == 0
        assert (await other.mail(b"y" * 700_000)).startswith("250 2.0.0")
        assert [one.content[:1] for one in await relay.stored()] == [b"x", b"y"]


async def test_large_messages_do_not_fill_the_memory(tmp_path: Path) -> None:
    """Past 1 MiB a message goes to disk while it arrives, so that many large ones fit."""
    async with house(tmp_path, memory="4MiB") as relay, relay.client() as client:
        assert (await client.mail(b"x" * 20_000_000)).startswith("250 2.0.0")
        (stored,) = await relay.stored()
        assert stored.row.size == 20_000_002


async def test_too_many_recipients_wait_for_the_next_message(tmp_path: Path) -> None:
    """One more than is taken at a time gets 452, and the message goes to the others."""
    async with house(tmp_path, max_recipients=100) as relay, relay.client() as client:
        await client.ask("MAIL FROM:<a@b.example>")
        for number in range(100):
            assert (await client.ask(f"RCPT TO:<r{number}@gold.example>")).startswith("250 2.1.5")
        for number in range(30):
            assert (await client.ask(f"RCPT TO:<s{number}@gold.example>")).startswith("452 4.5.3")
        await client.ask("DATA")
        assert (await client.ask(b".\r\n")).startswith("250 2.0.0")
        (stored,) = await relay.stored()
        assert len(stored.recipients) == 100


@pytest.mark.parametrize("end", ["RSET", "QUIT", ""])
async def test_recipients_have_their_share_of_the_memory(end: str, tmp_path: Path) -> None:
    """Past the first hundred each counts, once, for as long as it is remembered; 452 where there is no room."""
    async with house(tmp_path, memory=1024**2, max_recipients=2000) as relay:
        async with relay.client() as client:
            await client.ask("MAIL FROM:<a@b.example>")
            await client.send(b"".join(b"RCPT TO:<r%d@gold.example>\r\n" % number for number in range(100)) * 2)
            assert {(await client.reply())[:9] for _ in range(200)} == {"250 2.1.5"}
            assert relay.edge.bytes_in_flight == 0
            await client.send(b"".join(b"RCPT TO:<s%d@gold.example>\r\n" % number for number in range(1024)))
            assert {(await client.reply())[:9] for _ in range(1024)} == {"250 2.1.5"}
            assert relay.edge.bytes_in_flight == 1024**2
            assert (await client.ask("RCPT TO:<s0@gold.example>")).startswith("250 2.1.5")
            assert (await client.ask("RCPT TO:<t@gold.example>")).startswith("452 4.3.1")
            if end:
                await client.ask(end)
        await eventually(lambda: relay.edge.bytes_in_flight == 0)


async def test_connections_are_limited(tmp_path: Path) -> None:
    """Too many from one client, or in all, get 421 for a banner; what ends makes room."""
    async with house(tmp_path, max_connections=3, max_connections_per_client=2) as relay:
        async with relay.client(), relay.client(), relay.client(hello=False) as third:
            assert (await third.reply()).startswith("421 4.7.0")
            assert await third.ended()
        await eventually(lambda: relay.edge.sessions == 0)
        async with relay.client() as client:
            assert (await client.mail(b"x")).startswith("250 ")
    async with house(tmp_path / "more", max_connections=1) as relay, relay.client(), relay.client(hello=False) as more:
        assert (await more.reply()).startswith("421 4.3.2")
        assert await more.ended()


@pytest.mark.parametrize("line", [b"BOO\r\n", b"\0\r\n", b"MAIL FROM:oops\r\n", b"RCPT TO:<a@b.example>\r\n"])
async def test_errors_end_a_session(line: bytes, tmp_path: Path) -> None:
    """Twenty are answered one by one; after that good commands still count, but the next bad one is the last."""
    async with house(tmp_path) as relay, relay.client() as client:
        await client.ask("MAIL FROM:<a@b.example>")
        for _ in range(20):
            assert (await client.ask(line)).startswith("5")
        assert (await client.ask("RCPT TO:<someone@gold.example>")).startswith("250 ")
        assert (await client.ask(line)).startswith("421 4.7.0")
        assert await client.ended()


@pytest.mark.parametrize("command", ["NOOP", "RSET", "VRFY x", "HELP", "EHLO x"])
async def test_commands_that_lead_nowhere_end_a_session(command: str, tmp_path: Path) -> None:
    """Nobody keeps a session for ever without sending mail; one who does send may say NOOP as before."""
    async with house(tmp_path) as relay, relay.client() as client:
        for _ in range(99):
            assert (await client.ask(command))[0] == "2"
        assert (await client.mail(b"x")).startswith("250 ")
        for _ in range(100):
            assert (await client.ask(command))[0] == "2"
        assert (await client.ask(command)).startswith("421 4.7.0")
        assert await client.ended()


async def test_a_command_without_end_is_refused_once(tmp_path: Path) -> None:
    """A line that is too long has one reply, whatever it holds, and the next line is a command again."""
    async with house(tmp_path) as relay, relay.client() as client:
        assert (await client.ask(b"NOOP " + b"x" * 2043 + b"\r\n")).startswith("250 ")
        assert (await client.ask(b"NOOP " + b"x" * 5000 + b"\r\n")).startswith("500 5.5.2")
        assert (await client.ask(b"NOOP " + b"x" * 5000)).startswith("500 5.5.2")
        await client.send(b"MAIL FROM:<a@b.example>" * 100_000)
        assert (await client.ask(b"\r\nNOOP\r\n")).startswith("250 ")


async def test_a_client_that_reads_no_replies_is_made_to_wait(tmp_path: Path) -> None:
    """Replies that nobody takes don't pile up; when they are taken, every command has one."""
    async with house(tmp_path) as relay, relay.client(window=4096) as client:
        await client.choke()
        client.writer.transport.resume_reading()
        await client.send("QUIT")
        replies = (await client.reader.read()).decode().splitlines()
        assert set(replies[:-1]) == {"250 2.1.5 Ok"}
        assert len(replies) % 10_000 == 1
        assert replies[-1].startswith("221 ")


async def test_a_client_that_talks_on_and_on_lets_others_have_their_turn(tmp_path: Path) -> None:
    """Thousands of commands in one segment are answered bit by bit, all of them in the end."""
    async with house(tmp_path) as relay, relay.client() as client:
        await client.ask("MAIL FROM:<a@b.example>")
        (session,) = relay.edge._shared.sessions
        session.data_received(b"RCPT TO:<someone@gold.example>\r\n" * 5_000 + b"QUIT\r\n")
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(session.lines) > 100_000
        assert (await client.reader.read()).count(b"250 2.1.5") == 5_000


async def test_settings_are_taken_over_by_a_running_node(tmp_path: Path) -> None:
    """New limits hold for what comes next, and nobody is hung up on."""
    async with house(tmp_path) as relay, relay.client() as client:
        changes = {"max_message_size": 70_000, "max_recipients": 1, "max_connections_per_client": 1, "memory": 2**20}
        relay.edge.reconfigure(relay.settings.smtp.model_copy(update=changes))
        assert "250-SIZE 70000" in (await client.ask("EHLO client.example")).splitlines()
        assert (await client.mail(b"x" * 70_000)).startswith("552 5.3.4")
        async with relay.client(hello=False) as other:
            assert (await other.reply()).startswith("421 4.7.0")
        await client.ask("MAIL FROM:<a@b.example>")
        assert (await client.ask("RCPT TO:<a@gold.example>")).startswith("250 ")
        assert (await client.ask("RCPT TO:<b@gold.example>")).startswith("452 4.5.3")
