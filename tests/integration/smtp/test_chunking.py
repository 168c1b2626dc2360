"""Content by BDAT, where the primary offers CHUNKING (RFC 3030): octet for octet, and in no other way than by DATA."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest

from relay.mail import Reply
from relay.smtp.dialogue import Extension
from relay.smtp.failure import Kind, Stage
from relay.smtp.sending import PIECE
from relay.smtp.transaction import Result
from tests.integration.smtp.sessions import PATIENCE, envelope, letter, raw_server, session
from tests.integration.smtp.test_refusals import three, told
from tests.integration.smtp.test_sending import CONTENTS
from tests.support.primary import DROP, HANG, Fault, ScriptedPrimary
from tests.support.waiting import eventually

NO = Reply(550, "5.7.1", "No")
LATER = Reply(452, "4.3.1", "Disk full")
RECEIVED = b"Received: from a by b; c\r\n"
LARGE = RECEIVED + (b"x" * 1022 + b"\r\n") * 1024
UNENDED = {"no line end": b"Subject: x\r\n\r\nthe end", "one line": b"x", "three pieces and no line end": LARGE + b"."}


def chunking() -> ScriptedPrimary:
    primary = ScriptedPrimary()
    primary.offers.append("CHUNKING")
    return primary


@pytest.mark.parametrize("pipelining", [True, False], ids=["pipelined", "one by one"])
@pytest.mark.parametrize("content", (CONTENTS | UNENDED).values(), ids=(CONTENTS | UNENDED).keys())
async def test_content_arrives_as_it_is(content: bytes, pipelining: bool) -> None:
    """What the primary takes is what was given, octet for octet, a last line without an end included."""
    async with chunking() as primary:
        if not pipelining:
            primary.offers.remove("PIPELINING")
        async with session(primary) as connection:
            results = await asyncio.gather(
                *(connection.send(envelope(), piece) for piece in (letter("before"), content, letter("after")))
            )
        assert all(result.answers[0].delivered for result in results)
        assert [taken.content for taken in primary.messages] == [letter("before"), content, letter("after")]
        assert all(taken.chunks for taken in primary.messages)
        assert primary.violations == []
        assert "DATA" not in primary.commands


async def test_content_in_pieces() -> None:
    """Content that comes piece by piece is streamed in chunks, however many of the pieces are empty."""
    pieces = [b"", RECEIVED, b"", b"Subject: x\r\n", b"\r\n.", b"\r", b"\n", b""]

    async def slowly() -> AsyncIterator[bytes]:
        for piece in pieces:
            await asyncio.sleep(0)
            yield piece

    async with chunking() as primary, session(primary) as connection:
        results = [await connection.send(envelope(), slowly()), await connection.send(envelope(), pieces)]
        assert all(result.answers[0].delivered for result in results)
        assert [taken.content for taken in primary.messages] == [b"".join(pieces)] * 2
        assert all(0 not in taken.chunks[:-1] for taken in primary.messages), "servers refuse empty chunks"


async def test_one_round_trip_a_message() -> None:
    """The envelope of the next message comes with the content of the last, before that has been answered; and content
    waits for the replies to RCPT."""
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"RCPT TO:<0@d.example>\r\n")
        writer.write(b"250 Ok\r\n250 Ok\r\n")
        for number in range(3):
            while True:
                size, last = re.fullmatch(rb"BDAT (\d+)( LAST)?\r\n", await reader.readuntil(b"\r\n")).groups()  # type: ignore[union-attr]
                seen.append(await reader.readexactly(int(size)))
                if last:
                    break
                writer.write(b"250 Ok\r\n")
            if number < 2:
                # The end has had no reply: were the client to wait for one, this would never come.
                seen.append(await reader.readuntil(b"RCPT TO:<%d@d.example>\r\n" % (number + 1)))
                writer.write(b"250 Taken\r\n250 Ok\r\n250 Ok\r\n")
        writer.write(b"250 Taken\r\n")
        await reader.read()

    async with raw_server(serve, offers=("PIPELINING", "CHUNKING")) as port, session(port) as connection:
        sending = [connection.submit(envelope(f"{n}@d.example"), letter(str(n))) for n in range(3)]
        assert all(result.answers[0].delivered for result in await asyncio.gather(*sending))
    subject, rest = (part + b"\r\n" for part in letter("0").removesuffix(b"\r\n").split(b"\r\n", 1))
    commands = [b"MAIL FROM:<a@b.example>\r\nRCPT TO:<%d@d.example>\r\n" % n for n in range(3)]
    assert seen == [subject, rest, commands[1], letter("1"), commands[2], letter("2")]


@pytest.mark.parametrize("pipelining", [True, False], ids=["pipelined", "one by one"])
@pytest.mark.parametrize("refusal", ["MAIL", "one of two", "all recipients", "the first chunk", "the end"])
async def test_a_refusal_harms_nobody_else(refusal: str, pipelining: bool) -> None:
    """Whatever is refused of the second message, the first and the third arrive, and nothing is sent to nobody."""
    recipients = ["x@d.example", "y@d.example"]
    content = LARGE if refusal == "the first chunk" else letter("2")
    expected = [(NO, Stage.RCPT), (LATER, Stage.RCPT)]
    async with chunking() as primary:
        if not pipelining:
            primary.offers.remove("PIPELINING")
        match refusal:
            case "MAIL":
                primary.on_mail = lambda sender: LATER if sender == "2@b.example" else None
                expected = [(LATER, Stage.MAIL)] * 2
            case "one of two":
                primary.on_rcpt = lambda address: NO if address == "x@d.example" else None
                expected = [(NO, Stage.RCPT), (Reply(250, "2.0.0", "Taken"), Stage.END_OF_DATA)]
            case "all recipients":
                primary.on_rcpt = lambda address: {"x@d.example": NO, "y@d.example": LATER}.get(address)
            case "the first chunk":
                primary.on_chunk = lambda chunk: LATER if len(chunk) == PIECE else None
                expected = [(LATER, Stage.BDAT)] * 2
            case "the end":
                primary.on_content = lambda taken: NO if "x@d.example" in taken.recipients else None
                expected = [(NO, Stage.END_OF_DATA)] * 2
        async with session(primary) as connection:
            first, second, third = await three(connection, *recipients, content=content)
            assert connection.usable
            await connection.quit()
        assert first.answers[0].delivered
        if refusal == "the first chunk" and told(second)[0][1] is Stage.END_OF_DATA:  # all of it was on its way by then
            expected = [(LATER, Stage.END_OF_DATA)] * 2
        assert told(second) == expected
        assert third.answers[0].delivered
        whole = [taken.content for taken in primary.messages]
        assert whole == [letter(str(n)) for n in (1, 2, 3) if n != 2 or refusal == "one of two"]
        assert primary.violations == []
        chunks = [command for command in primary.commands if command.startswith("BDAT")]
        if refusal in ("MAIL", "all recipients"):
            assert len(chunks) == 3, "the first line and the rest of 1, then 3"


async def test_refused_half_way() -> None:
    """A primary that refuses a part of the content gets no more of it than was under way, then RSET; what it says of
    those parts changes nothing."""
    commands: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        chunks = 0
        while command := await reader.readline():
            commands.append(command)
            if not command.startswith(b"BDAT"):
                writer.write(b"250 Ok\r\n")
                continue
            chunks += 1
            await reader.readexactly(int(command.split()[1]))
            writer.write(
                b"250 Ok\r\n" if chunks < 3 else b"552 5.3.4 Too much\r\n" if chunks == 3 else b"551 Discarded\r\n"
            )
            await writer.drain()

    async def endless() -> AsyncIterator[bytes]:
        yield RECEIVED
        while True:
            yield b"x" * 65534 + b"\r\n"
            await asyncio.sleep(0)

    async with raw_server(serve, offers=("PIPELINING", "CHUNKING")) as port, session(port) as connection:
        result = await connection.send(envelope(), endless())
        assert told(result) == [(Reply(552, "5.3.4", "Too much"), Stage.BDAT)]
        await connection.quit()
    assert commands[-2:] == [b"RSET\r\n", b"QUIT\r\n"]
    assert not any(b"LAST" in command for command in commands)


@pytest.mark.parametrize("reply", [b"250 Taken\r\n", b"551 Discarded\r\n"], ids=["taken", "refused"])
async def test_a_part_refused_after_all_was_sent(reply: bytes) -> None:
    """The refusal of a part decides; a yes to the end all the same is out of step, and the outcome unknown."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        silent = False
        while command := await reader.readline():
            _, size, *last = command.split()
            if command.startswith(b"BDAT"):
                await reader.readexactly(int(size))
            if last and silent:
                writer.write(b"552 5.3.4 Too much\r\n" + reply)
            elif not silent:
                writer.write(b"250 Ok\r\n")
            silent = command.startswith(b"BDAT")  # from the second chunk on, until all is there

    content = RECEIVED + b"y" * PIECE
    async with raw_server(serve, offers=("PIPELINING", "CHUNKING")) as port, session(port) as connection:
        result = await connection.send(envelope(), content)
        if reply.startswith(b"551"):
            assert told(result) == [(Reply(552, "5.3.4", "Too much"), Stage.END_OF_DATA)]
            assert connection.usable
        else:
            (answer,) = result.answers
            assert (answer.delivered, answer.unknown, answer.reply.temporary) == (False, True, True)
            assert connection.failure is not None
            assert connection.failure.kind is Kind.PROTOCOL


@pytest.mark.parametrize("fault", [DROP, HANG], ids=["cut", "silent"])
async def test_lost_after_the_end(fault: Fault) -> None:
    """All was sent and the answer never came: unknown; what is behind it is untried."""
    async with chunking() as primary:
        async with session(primary, end_of_data_timeout=1.0 if fault is HANG else PATIENCE) as connection:
            primary.on_content = lambda taken: fault if primary.messages else None
            first, second, third = await three(connection, "2@d.example")
        assert first.answers[0].delivered
        (answer,) = second.answers
        assert (answer.stage, answer.unknown, answer.local) == (Stage.END_OF_DATA, True, True)
        assert third.untried
        assert len(primary.messages) == 2
        assert not connection.misled


@pytest.mark.parametrize("fault", [DROP, HANG], ids=["cut", "silent"])
async def test_lost_between_two_parts(fault: Fault) -> None:
    """A message whose end wasn't out when the connection broke wasn't delivered, and that is certain."""

    async def stuck() -> AsyncIterator[bytes]:
        yield RECEIVED
        for _ in range(3):
            yield b"x" * PIECE
        await eventually(lambda: not connection.usable)

    async with chunking() as primary, session(primary, block_timeout=1.0) as connection:
        primary.on_chunk = lambda chunk: None if len(chunk) == len(RECEIVED) else fault
        first, second = connection.submit(envelope(), stuck()), connection.submit(envelope(), letter())
        (answer,) = (await first).answers
        assert (answer.unknown, answer.local, answer.reply.temporary) == (False, True, True)
        assert answer.stage in (Stage.BDAT, Stage.CONTENT)
        assert (await second).untried
        assert primary.messages == []


async def test_lost_while_no_reply_is_due() -> None:
    """A connection that ends while the next part is being read from our disk ends the message too, at once."""

    async def waiting() -> AsyncIterator[bytes]:
        yield RECEIVED  # the rest waits for its reply
        await primary.drop_connections()
        await asyncio.sleep(PATIENCE)
        yield b"never"

    async with chunking() as primary, session(primary) as connection:
        (answer,) = (await asyncio.wait_for(connection.send(envelope(), waiting()), PATIENCE / 2)).answers
        assert (answer.stage, answer.unknown) == (Stage.CONTENT, False)
        assert "in the middle of the content" in answer.reply.text


async def test_content_that_can_not_be_read_is_never_half_delivered() -> None:
    """Where reading the content fails, the sender hears the error, the primary never hears LAST."""

    async def broken() -> AsyncIterator[bytes]:
        yield letter()
        yield letter()
        raise OSError("the disk is gone")

    async with chunking() as primary, session(primary) as connection:
        with pytest.raises(OSError, match="the disk is gone"):
            await connection.send(envelope(), broken())
        await primary.stop()
        assert primary.messages == []
        assert not any(command.endswith("LAST") for command in primary.commands)


EVIL = RECEIVED + b"MAIL FROM:<boss@d.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\nSubject: pay\r\n.\r\nQUIT\r\n"


@pytest.mark.parametrize("code", [500, 501, 502, 503, 504, 521])
async def test_a_server_that_does_not_know_bdat(code: int) -> None:
    """CHUNKING that is a lie costs the message nothing, and no octet of it but our own first line is ever taken for a
    command."""
    async with chunking() as primary, session(primary) as connection:
        primary.on_bdat = Reply(code, "5.5.1", "What?")
        first, second = await asyncio.gather(*(connection.submit(envelope(), EVIL) for _ in range(2)))
        assert connection.misled
        assert first.untried
        assert second.untried
        assert "BDAT isn't understood" in str(connection.failure)
        await primary.stop()
        said = [command for command in primary.commands if not command.startswith(("EHLO", "BDAT", "Received"))]
        assert said == [f"MAIL FROM:<a@b.example> SIZE={len(EVIL)}", "RCPT TO:<c@d.example>"]


@pytest.mark.parametrize("fault", [DROP, HANG], ids=["cut", "silent"])
async def test_a_server_that_breaks_at_bdat(fault: Fault) -> None:
    """Where the first BDAT gets no answer it is known that CHUNKING was it, perhaps; the message counts as tried."""
    async with chunking() as primary, session(primary, block_timeout=1.0) as connection:
        primary.on_bdat = fault
        result: Result = await connection.send(envelope(), letter())
        assert connection.misled
        assert not result.untried
        assert not result.answers[0].unknown


async def test_421_to_bdat_is_an_answer() -> None:
    """A session that is ended at its first BDAT by a word is no sign that BDAT isn't understood."""
    async with chunking() as primary, session(primary) as connection:
        primary.on_chunk = Reply(421, "4.3.2", "Going down")
        (answer,) = (await connection.send(envelope(), letter())).answers
        assert (answer.reply.code, answer.local, answer.unknown) == (421, False, False)
        assert not connection.misled


async def test_a_first_part_that_is_refused_for_what_it_is() -> None:
    """A refusal at the place of DATA is one of the message; the next message begins as carefully."""
    async with chunking() as primary, session(primary) as connection:
        primary.on_chunk = LATER
        assert told(await connection.send(envelope(), letter())) == [(LATER, Stage.BDAT)]
        primary.on_chunk = None
        assert (await connection.send(envelope(), letter())).answers[0].delivered
        assert len(primary.messages[0].chunks) == 2


async def test_a_reply_too_many_delivers_nothing() -> None:
    """A second yes to a part could be taken for the one to the end: the session ends before it can be."""
    async with chunking() as primary, session(primary) as connection:
        primary.on_chunk = b"250 Ok\r\n250 Taken\r\n"
        (answer,) = (await connection.send(envelope(), letter())).answers
        assert (answer.delivered, answer.unknown, answer.local) == (False, False, True)
        await primary.stop()
        assert primary.messages == []


async def test_without_chunking() -> None:
    """Whoever knows better than the primary leaves it unused."""
    async with chunking() as primary, session(primary, without={Extension.CHUNKING}) as connection:
        assert (await connection.send(envelope(), letter())).answers[0].delivered
        assert "DATA" in primary.commands
