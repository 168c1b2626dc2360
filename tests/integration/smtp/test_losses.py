"""Connections that break or hang: what was certain stays certain, what is unknown is called so, the rest is untried."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.smtp.connection import Connection
from relay.smtp.failure import Kind, Stage
from relay.smtp.transaction import Result
from tests.integration.smtp.sessions import PATIENCE, envelope, letter, raw_server, session
from tests.support.primary import DROP, HANG, Fault, ScriptedPrimary
from tests.support.waiting import eventually


async def several(connection: Connection, count: int = 4) -> list[Result]:
    return await asyncio.gather(*(connection.submit(envelope(), letter(str(n))) for n in range(count)))


def script(primary: ScriptedPrimary, stage: Stage, fault: Fault) -> None:
    """``fault`` at that stage, once the primary has a message."""
    match stage:
        case Stage.MAIL:
            primary.on_mail = lambda _: fault if primary.messages else None
        case Stage.RCPT:
            primary.on_rcpt = lambda _: fault if primary.messages else None
        case Stage.DATA:
            primary.on_data = lambda _: fault if primary.messages else None
        case Stage.END_OF_DATA:
            primary.on_content = lambda _: fault if primary.messages else None


@pytest.mark.parametrize("pipelining", [True, False], ids=["pipelined", "one by one"])
@pytest.mark.parametrize("fault", [DROP, HANG], ids=["cut", "silent"])
@pytest.mark.parametrize("stage", [Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.END_OF_DATA])
async def test_a_session_that_breaks(stage: Stage, fault: Fault, pipelining: bool) -> None:
    """What was answered is delivered, what broke is deferred and its outcome unknown after the dot alone, and the
    messages behind it are untried."""
    async with ScriptedPrimary() as primary:
        if not pipelining:
            primary.offers.remove("PIPELINING")
        timeout = 1.0 if fault is HANG else PATIENCE
        async with session(primary, reply_timeout=timeout, end_of_data_timeout=timeout) as connection:
            script(primary, stage, fault)
            first, second, *others = await several(connection)
            failure = connection.failure
            assert failure is not None
            assert (failure.stage, failure.kind) == (stage, Kind.TIMEOUT if fault is HANG else Kind.CLOSED)
            assert not failure.answered
        assert first.answers[0].delivered
        assert first.failure is None
        (answer,) = second.answers
        assert second.failure is failure
        assert answer.local
        assert answer.reply.temporary
        assert answer.stage is stage
        assert answer.unknown is (stage is Stage.END_OF_DATA)
        assert ("unknown" in answer.reply.text) is answer.unknown
        assert second.untried is (stage is Stage.MAIL)
        assert all(other.untried and not other.answers[0].unknown for other in others)
        # At the dot the primary has kept the message without a word: that is what 'unknown' is for.
        assert len(primary.messages) == (2 if stage is Stage.END_OF_DATA else 1)
        await eventually(lambda: primary.open_connections == 0)


async def test_the_first_message_of_a_session_is_tried_even_unheard() -> None:
    """A message whose MAIL cuts a fresh session doesn't come back at once, to do the same again."""
    async with ScriptedPrimary() as primary, session(primary) as connection:
        primary.on_mail = DROP
        first, second = await several(connection, 2)
        assert (first.untried, second.untried) == (False, True)


async def test_cut_in_the_middle_of_the_content() -> None:
    """A message whose content wasn't all out when the connection broke wasn't delivered, and that is certain."""
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while True:
            yield b"x" * 1022 + b"\r\n"
            sent += 1024

    async with ScriptedPrimary() as primary, session(primary) as connection:
        primary.drop_content_after = 300_000
        first, second = await asyncio.gather(
            connection.submit(envelope(), endless()), connection.submit(envelope(), letter())
        )
        (answer,) = first.answers
        assert (answer.stage, answer.unknown, answer.local) == (Stage.CONTENT, False, True)
        assert first.failure is not None
        assert first.failure.kind is Kind.CLOSED
        assert second.untried
        assert sent >= 300_000
        assert primary.messages == []


async def test_cut_after_the_content() -> None:
    """A large message whose dot is out and whose reply never came has an unknown outcome, as a small one has."""
    content = (b"x" * 1022 + b"\r\n") * 1000
    async with ScriptedPrimary() as primary, session(primary) as connection:
        primary.on_content = DROP
        result = await connection.send(envelope(), content)
        assert (result.answers[0].stage, result.answers[0].unknown) == (Stage.END_OF_DATA, True)
        assert [taken.content for taken in primary.messages] == [content]


@pytest.mark.parametrize("way", ["silence", "cut"])
async def test_content_waits_for_the_primary(way: str) -> None:
    """A primary that stops reading holds the content back, and is given up when nothing moves for too long."""
    pulled = 0
    stalled = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"DATA\r\n")
        writer.write(b"250 Ok\r\n250 Ok\r\n354 Go\r\n")
        await writer.drain()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await stalled.wait()
        writer.transport.abort()

    def large() -> Iterator[bytes]:
        nonlocal pulled
        piece = b"x" * 65534 + b"\r\n"
        for _ in range(3200):  # 200 MB
            pulled += len(piece)
            yield piece

    async with raw_server(serve) as port, session(port, block_timeout=1.0) as connection:
        sending = connection.submit(envelope(), large())
        if way == "cut":
            await eventually(lambda: pulled > 100_000)
            stalled.set()
        result = await sending
        stalled.set()
        (answer,) = result.answers
        assert (answer.stage, answer.unknown, answer.reply.temporary) == (Stage.CONTENT, False, True)
        assert result.failure is not None
        said = "closed in the middle of the content" if way == "cut" else "the content didn't get on within 1 s"
        assert said in str(result.failure)
        assert pulled < 50_000_000, "no more is read than the network takes"


async def test_a_slow_primary_that_gets_on_is_not_given_up() -> None:
    """Content may take longer than the time for a block, as long as it moves."""
    content = (b"x" * 1022 + b"\r\n") * 20_000

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"DATA\r\n")
        writer.write(b"250 Ok\r\n250 Ok\r\n354 Go\r\n")
        taken = 0
        while taken < len(content):
            taken += len(await reader.readexactly(min(1_000_000, len(content) - taken)))
            await asyncio.sleep(0.1)
        await reader.readuntil(b".\r\n")
        writer.write(b"250 Taken\r\n")
        await reader.read()

    async with raw_server(serve) as port, session(port, block_timeout=1.0) as connection:
        result = await connection.send(envelope(), content)
        assert result.answers[0].delivered


async def test_large_content_is_not_held_twice() -> None:
    """50 MB in pieces cost a few pieces of memory, not 50 MB."""
    taken = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal taken
        await reader.readuntil(b"DATA\r\n")
        writer.write(b"250 Ok\r\n250 Ok\r\n354 Go\r\n")
        end = b""
        while not end.endswith(b"\r\n.\r\n"):
            piece = await reader.read(2**16)
            taken += len(piece)
            end = (end + piece)[-5:]
        writer.write(b"250 Taken\r\n")
        await reader.read()

    piece = b"x" * 262_142 + b"\r\n"
    async with raw_server(serve) as port, session(port) as connection:
        gc.collect()
        tracemalloc.start()
        try:
            result = await connection.send(envelope(), (piece for _ in range(200)), 200 * len(piece))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert result.answers[0].delivered
    assert taken == 200 * len(piece) + 3
    assert peak < 10_000_000


async def test_the_end_of_data_has_a_time_of_its_own() -> None:
    """A primary that thinks longer over a message than a reply may take still gets to answer."""
    async with ScriptedPrimary() as primary:

        async def slow_at_first(_: object) -> None:
            if not primary.messages:
                await asyncio.sleep(2.0)

        primary.on_content = slow_at_first
        async with session(primary, reply_timeout=1.0, end_of_data_timeout=PATIENCE) as connection:
            first, second = await several(connection, 2)
        assert first.answers[0].delivered
        assert second.answers[0].delivered


async def test_a_time_that_is_longer_than_others_is_kept_too() -> None:
    """The one timer of a connection fires when the reply that is waited for is due, neither before nor long after."""
    async with ScriptedPrimary() as primary:
        primary.on_content = HANG
        async with session(primary, reply_timeout=0.8, end_of_data_timeout=1.2) as connection:
            began = asyncio.get_running_loop().time()
            result = await connection.send(envelope(), letter())
            assert 1.1 < asyncio.get_running_loop().time() - began < 4.0
        assert str(result.failure) == "no reply to end of data within 1.2 s"


async def test_an_idle_connection_that_ends() -> None:
    """A primary that hangs up between messages makes the connection unusable, and the next message untried."""
    async with ScriptedPrimary() as primary, session(primary) as connection:
        assert (await connection.send(envelope(), letter())).answers[0].delivered
        await primary.drop_connections()
        await eventually(lambda: not connection.usable)
        assert str(connection.failure) == "the connection was closed while idle"
        result = await connection.send(envelope(), letter())
        assert result.untried
        await connection.quit()


async def test_an_idle_connection_that_is_told_goodbye() -> None:
    """A 421 out of the blue is why the connection has ended."""
    goodbye = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await goodbye.wait()
        writer.write(b"421 4.4.2 Timeout\r\n")
        await reader.read()

    async with raw_server(serve) as port, session(port) as connection:
        assert connection.usable
        goodbye.set()
        await eventually(lambda: connection.failure)
        assert connection.failure is not None
        assert connection.failure.reply is not None
        assert connection.failure.reply.code == 421


async def test_closing_answers_everybody() -> None:
    """Whoever closes a connection with messages on their way gets a result for each."""
    async with ScriptedPrimary() as primary, session(primary) as connection:
        primary.on_content = HANG
        sending = [connection.submit(envelope(), letter()) for _ in range(3)]
        await eventually(lambda: primary.messages)
        connection.close()
        first, second, third = await asyncio.gather(*sending)
        assert (first.answers[0].unknown, first.answers[0].stage) == (True, Stage.END_OF_DATA)
        assert second.untried
        assert third.untried
        await eventually(lambda: primary.open_connections == 0)


async def test_closing_does_not_wait_for_a_primary_that_does_not_read() -> None:
    """A connection closed in the middle of content is gone at once, whatever is still unwritten."""
    closed = asyncio.Event()
    pulled: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"DATA\r\n")
        writer.write(b"250 Ok\r\n250 Ok\r\n354 Go\r\n")
        await writer.drain()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await closed.wait()

    def large() -> Iterator[bytes]:
        for number in range(3200):
            pulled.append(number)
            yield b"x" * 65534 + b"\r\n"

    def sockets() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    async with raw_server(serve) as port, session(port) as connection:
        sending = connection.submit(envelope(), large())
        seen = -1
        while seen != len(pulled) or not pulled:  # until the network holds no more
            seen = len(pulled)
            await asyncio.sleep(0.2)
        before = sockets()
        connection.close()
        assert not (await sending).answers[0].unknown
        await eventually(lambda: sockets() < before)
        closed.set()


async def test_whoever_waits_for_room_is_let_go_when_the_connection_ends() -> None:
    """room() returns when nothing is left that could take it."""
    async with ScriptedPrimary() as primary, session(primary) as connection:
        primary.on_mail = HANG
        for _ in range(3):
            connection.submit(envelope(), letter())
        waiting = asyncio.create_task(connection.room())
        await eventually(lambda: primary.commands[1:])
        await primary.stop()
        await asyncio.wait_for(waiting, PATIENCE)
        assert not connection.usable
