"""A primary that says no: each recipient hears its own reply, and the messages after it are unharmed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from relay.mail import Reply
from relay.smtp.connection import Connection
from relay.smtp.failure import Kind, Stage
from relay.smtp.transaction import Result
from tests.integration.smtp.sessions import envelope, letter, raw_server, session
from tests.support.primary import ScriptedPrimary

NO = Reply(550, "5.7.1", "No")
LATER = Reply(450, "4.2.1", "Later")


async def three(connection: Connection, *middle: str, content: bytes = letter("2")) -> list[Result]:
    """Three messages in a row; the second is ``content`` to ``middle``."""
    messages = [(("1@d.example",), letter("1")), (middle, content), (("3@d.example",), letter("3"))]
    return await asyncio.gather(
        *(connection.send(envelope(*to, sender=f"{n}@b.example"), what) for n, (to, what) in enumerate(messages, 1))
    )


def told(result: Result) -> list[tuple[Reply, Stage]]:
    assert not any(answer.local or answer.unknown for answer in result.answers)
    return [(answer.reply, answer.stage) for answer in result.answers]


@pytest.mark.parametrize("pipelining", [True, False], ids=["pipelined", "one by one"])
@pytest.mark.parametrize(
    "refusal",
    ["MAIL", "one of two", "all recipients", "all recipients, and 354", "DATA", "the dot"],
)
async def test_a_refusal_harms_nobody_else(refusal: str, pipelining: bool) -> None:
    """Whatever is refused of the second message, the first and the third arrive, and nothing is out of turn."""
    async with ScriptedPrimary() as primary:
        if not pipelining:
            primary.offers.remove("PIPELINING")
        recipients = ["x@d.example", "y@d.example"]
        match refusal:
            case "MAIL":
                primary.on_mail = lambda sender: LATER if sender == "2@b.example" else None
                expected = [(LATER, Stage.MAIL), (LATER, Stage.MAIL)]
            case "one of two":
                primary.on_rcpt = lambda address: NO if address == "x@d.example" else None
                expected = [(NO, Stage.RCPT), (Reply(250, "2.0.0", "Taken"), Stage.END_OF_DATA)]
            case "all recipients" | "all recipients, and 354":
                primary.on_rcpt = lambda address: {"x@d.example": NO, "y@d.example": LATER}.get(address)
                primary.data_anyway = refusal.endswith("354")
                expected = [(NO, Stage.RCPT), (LATER, Stage.RCPT)]
            case "DATA":
                primary.on_data = lambda addresses: LATER if "x@d.example" in addresses else None
                expected = [(LATER, Stage.DATA), (LATER, Stage.DATA)]
            case "the dot":
                primary.on_content = lambda taken: NO if "x@d.example" in taken.recipients else None
                expected = [(NO, Stage.END_OF_DATA), (NO, Stage.END_OF_DATA)]
        async with session(primary) as connection:
            first, second, third = await three(connection, *recipients)
            assert connection.usable
            await connection.quit()
        assert first.answers[0].delivered
        assert told(second) == expected
        assert third.answers[0].delivered
        whole = [taken.content for taken in primary.messages]
        assert whole == [letter(str(n)) for n in (1, 2, 3) if n != 2 or refusal == "one of two"]
        assert [taken.content for taken in primary.refused] == ([letter("2")] if refusal == "the dot" else [])
        assert primary.violations == []


async def test_a_message_for_nobody_is_an_empty_one() -> None:
    """Where 354 follows though every recipient was refused, the dot alone is sent, never the message."""
    said: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"DATA\r\n")
        writer.write(b"250 Ok\r\n550 No\r\n354 Go\r\n")
        said.append(await reader.readuntil(b".\r\n"))
        writer.write(b"250 Taken, thank you\r\n")
        said.append(await reader.readuntil(b"\r\n"))
        writer.write(b"221 Bye\r\n")

    async with raw_server(serve) as port, session(port) as connection:
        result = await connection.send(envelope(), letter())
        assert told(result) == [(Reply(550, "", "No"), Stage.RCPT)]
        await connection.quit()
    assert said == [b".\r\n", b"QUIT\r\n"]


async def test_a_transaction_that_can_not_be_reset_ends_the_connection() -> None:
    """After a refused RSET no MAIL follows: its 503 would look like a refusal of the next message."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"DATA\r\n")
        writer.write(b"250 Ok\r\n550 No\r\n554 Nobody\r\n")
        await reader.readuntil(b"RSET\r\n")
        await reader.readuntil(b"DATA\r\n")
        writer.write(b"502 What?\r\n503 Nested\r\n503 No\r\n503 No\r\n")
        await reader.read()

    async with raw_server(serve) as port, session(port) as connection:
        first, second = await asyncio.gather(*(connection.send(envelope(), letter()) for _ in range(2)))
        assert told(first) == [(Reply(550, "", "No"), Stage.RCPT)]
        assert second.untried
        assert second.answers[0].reply.temporary
        assert connection.failure is not None
        assert connection.failure.stage is Stage.RSET


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA", "the dot"])
async def test_421_ends_the_session_and_is_an_answer(stage: str) -> None:
    """A 421 in the middle of a drain defers the message it answers; those behind it count as untried."""
    bye = Reply(421, "4.3.2", "Too many messages")
    async with ScriptedPrimary() as primary:
        match stage:
            case "MAIL":
                primary.on_mail = lambda sender: bye if primary.messages else None
            case "RCPT":
                primary.on_rcpt = lambda address: bye if primary.messages else None
            case "DATA":
                primary.on_data = lambda addresses: bye if primary.messages else None
            case "the dot":
                primary.on_content = lambda taken: bye if primary.messages else None
        async with session(primary) as connection:
            first, second, third = await three(connection, "2@d.example")
            assert not connection.usable
            assert first.answers[0].delivered
            (answer,) = second.answers
            assert (answer.reply, answer.local, answer.unknown) == (bye, False, False)
            assert answer.stage is {"the dot": Stage.END_OF_DATA}.get(stage) or Stage[stage]
            assert second.untried is (stage == "MAIL")
            assert second.failure is not None
            assert second.failure.reply == bye
            assert third.untried
            assert third.answers[0].local
            assert third.answers[0].reply.temporary
            late = await connection.send(envelope(), letter())
            assert late.untried
        assert len(primary.messages) == 1


async def test_421_to_the_first_message_is_no_reason_to_try_it_again_at_once() -> None:
    """A fresh session whose first MAIL gets 421 has tried its message."""
    async with ScriptedPrimary() as primary:
        primary.on_mail = Reply(421, "4.3.2", "Going down")
        async with session(primary) as connection:
            result = await connection.send(envelope(), letter())
        assert not result.untried
        assert result.answers[0].reply.code == 421


@pytest.mark.parametrize("where", ["behind 354", "behind 354, cut in two", "behind the dot's reply", "instead of 354"])
async def test_replies_that_nobody_asked_for_deliver_nothing(where: str) -> None:
    """A reply too many could be taken for the one to the dot: the session ends before it can be."""
    dot = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"DATA\r\n")
        replies = {
            "behind 354": b"250 Ok\r\n250 Ok\r\n354 Go\r\n250 Taken\r\n",
            "behind 354, cut in two": b"250 Ok\r\n250 Ok\r\n354 Go\r\n250 Tak",
            "behind the dot's reply": b"250 Ok\r\n250 Ok\r\n354 Go\r\n",
            "instead of 354": b"250 Ok\r\n250 Ok\r\n250 Ok\r\n",
        }
        writer.write(replies[where])
        await reader.readuntil(b"\r\n.\r\n")
        dot.set()
        writer.write(b"250 Taken\r\n250 And another\r\n")
        await reader.read()

    async with raw_server(serve) as port, session(port) as connection:
        result = await connection.send(envelope(), letter())
        assert not connection.usable
        assert connection.failure is not None
        assert connection.failure.kind is Kind.PROTOCOL
    if where == "behind the dot's reply":
        assert result.answers[0].delivered, "that one was asked for"
    else:
        assert not dot.is_set()
        assert (result.answers[0].local, result.answers[0].unknown) == (True, False)
        assert result.answers[0].reply.temporary


async def test_421_behind_354_is_heard_before_the_content_goes() -> None:
    """A primary that changes its mind gets no content, and its 421 is the answer."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"DATA\r\n")
        writer.write(b"250 Ok\r\n250 Ok\r\n354 Go\r\n421 4.3.2 No, wait\r\n")
        assert await reader.read() == b""

    async with raw_server(serve) as port, session(port) as connection:
        (answer,) = (await connection.send(envelope(), letter())).answers
        assert (answer.reply, answer.local, answer.unknown) == (Reply(421, "4.3.2", "No, wait"), False, False)


async def test_421_behind_the_reply_to_the_dot() -> None:
    """A session that is ended along with the last reply has delivered that message, and begins no other."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for reply in (b"250 Ok\r\n", b"250 Ok\r\n", b"354 Go\r\n"):
            await reader.readuntil(b"\r\n")
            writer.write(reply)
        await reader.readuntil(b"\r\n.\r\n")
        writer.write(b"250 Taken\r\n421 4.3.2 Enough\r\n")
        assert await reader.read() == b""

    async with raw_server(serve, offers=()) as port, session(port) as connection:
        first, second = await asyncio.gather(*(connection.send(envelope(), letter()) for _ in range(2)))
        assert first.answers[0].delivered
        assert second.untried
        assert second.answers[0].local


async def test_refused_half_way_through_the_content() -> None:
    """A primary that refuses while the content still comes is believed, and gets no more of it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"DATA\r\n")
        writer.write(b"250 Ok\r\n250 Ok\r\n354 Go\r\n")
        await reader.readexactly(100_000)
        writer.write(b"552 5.3.4 Too much\r\n")
        while piece := await reader.read(2**16):
            assert not piece.endswith(b"\r\n.\r\n"), "the end of data came"

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 1022 + b"\r\n"
            await asyncio.sleep(0)

    async with raw_server(serve) as port, session(port) as connection:
        first = connection.submit(envelope(), endless())
        second = connection.submit(envelope(), letter())
        assert told(await first) == [(Reply(552, "5.3.4", "Too much"), Stage.CONTENT)]
        assert (await second).untried
        assert not connection.usable


async def test_content_that_can_not_be_read_is_never_half_delivered() -> None:
    """Where reading the content fails, the sender hears the error, the primary never hears a dot."""

    def broken() -> Iterator[bytes]:
        yield letter()
        raise OSError("the disk is gone")

    async with ScriptedPrimary() as primary, session(primary) as connection:
        first = connection.submit(envelope(), broken())
        second = connection.submit(envelope(), letter())
        with pytest.raises(OSError, match="the disk is gone"):
            await first
        assert (await second).untried
        assert "couldn't be read" in str(connection.failure)
        await primary.stop()
        assert primary.messages == []
