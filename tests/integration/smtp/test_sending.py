"""Messages reach the primary as they are, in order, with as few round trips as there can be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from relay.mail import Recipient, Reply
from relay.smtp.failure import Stage
from relay.smtp.pipeline import DEPTH
from relay.smtp.sending import PIECE
from tests.integration.smtp.sessions import envelope, letter, raw_server, session
from tests.support.primary import ScriptedPrimary
from tests.support.waiting import eventually

ODD = b"".join(bytes((byte,)) * 3 + b"\r\n" for byte in range(256) if byte not in b"\r\n")
CONTENTS = {
    "nothing": b"",
    "dots": b".\r\n..\r\n.a\r\n\r\n.\r\n",
    "every octet": ODD,
    "a line of 100,000 octets": b"x" * 100_000 + b"\r\n",
    "just one piece": (b"." * 62 + b"\r\n") * (PIECE // 64),
    "pieces that end between CR and LF": (b"y" * (PIECE - 1) + b"\r\n.\r\n") * 3,
    "pieces that begin with a dot": (b"z" * (PIECE - 2) + b"\r\n." + b"\r\n") * 3,
    "20 MB": b"".join(b"%d .\r\n.%d\r\n" % (n, n) for n in range(1_000_000)),
}


@pytest.mark.parametrize("pipelining", [True, False], ids=["pipelined", "one by one"])
@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS.keys())
async def test_content_arrives_as_it_is(content: bytes, pipelining: bool) -> None:
    """What the primary takes is what was given, octet for octet, and the next message is unharmed."""
    async with ScriptedPrimary() as primary:
        if not pipelining:
            primary.offers.remove("PIPELINING")
        async with session(primary) as connection:
            results = await asyncio.gather(
                *(connection.send(envelope(), piece) for piece in (letter("before"), content, letter("after")))
            )
        assert all(result.answers[0].delivered for result in results)
        assert [taken.content for taken in primary.messages] == [letter("before"), content, letter("after")]
        assert primary.violations == []


@pytest.mark.parametrize("kind", ["iterator", "async iterator"])
async def test_content_in_pieces(kind: str) -> None:
    """Content may come piece by piece, cut anywhere; its size is told where it is known."""
    content = CONTENTS["dots"] * 3
    pieces = [content[at : at + 2] for at in range(0, len(content), 2)]

    async def slowly() -> AsyncIterator[bytes]:
        for piece in pieces:
            await asyncio.sleep(0)
            yield piece

    async with ScriptedPrimary() as primary, session(primary) as connection:
        result = await connection.send(envelope(), slowly() if kind == "async iterator" else pieces, len(content))
        assert result.answers[0].delivered
        assert primary.messages[0].content == content
        assert primary.messages[0].mail_parameters == {"SIZE": str(len(content))}


async def test_the_envelope_arrives_as_it_is() -> None:
    """Sender, recipients and their parameters are passed on unchanged; the null sender stays null."""
    recipients = (
        Recipient('"odd >one"@D.example', "SUCCESS,FAILURE", "rfc822;Odd+2Bone@d.example"),
        Recipient("Postmaster"),
        Recipient("dömäin@bücher.example", "NEVER"),
    )
    sent = envelope(sender="", body="8BITMIME", smtputf8=True, ret="HDRS", envid="QqQ+3D31")
    sent = type(sent)(sent.sender, recipients, sent.body, sent.smtputf8, sent.ret, sent.envid)
    async with ScriptedPrimary() as primary, session(primary) as connection:
        result = await connection.send(sent, letter())
        assert [answer.delivered for answer in result.answers] == [True, True, True]
        (taken,) = primary.messages
        assert taken.sender == ""
        assert taken.recipients == tuple(recipient.address for recipient in recipients)
        assert taken.mail_parameters == {
            "SIZE": str(len(letter())),
            "BODY": "8BITMIME",
            "SMTPUTF8": "",
            "RET": "HDRS",
            "ENVID": "QqQ+3D31",
        }
        assert taken.rcpt_parameters == (
            {"NOTIFY": "SUCCESS,FAILURE", "ORCPT": "rfc822;Odd+2Bone@d.example"},
            {},
            {"NOTIFY": "NEVER"},
        )


async def test_one_round_trip_a_message() -> None:
    """The commands of the next message come with the content of the last, before that has been answered."""
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"DATA\r\n")
        for number in range(3):
            writer.write(
                b"250 Ok\r\n250 Ok\r\n354 Go\r\n" if number == 0 else b"250 Taken\r\n250 Ok\r\n250 Ok\r\n354 Go\r\n"
            )
            seen.append(await reader.readuntil(b"\r\n.\r\n"))
            if number < 2:
                # No reply has been given to the dot: were the client to wait for one, this would never come.
                seen.append(await reader.readuntil(b"DATA\r\n"))
        writer.write(b"250 Taken\r\n")
        await reader.read()

    async with raw_server(serve) as port, session(port) as connection:
        sending = [connection.submit(envelope(f"{n}@d.example"), letter(str(n))) for n in range(3)]
        assert all(result.answers[0].delivered for result in await asyncio.gather(*sending))
    assert seen[1::2] == [f"MAIL FROM:<a@b.example>\r\nRCPT TO:<{n}@d.example>\r\nDATA\r\n".encode() for n in (1, 2)]
    assert seen[::2] == [letter(str(n)) + b".\r\n" for n in range(3)]


async def test_no_more_than_it_can_use_is_on_its_way() -> None:
    """room() holds the sender back until a message has its result."""
    async with ScriptedPrimary() as primary, session(primary) as connection:
        gate = asyncio.Event()

        async def when_opened(_: object) -> None:
            await gate.wait()

        primary.on_content = when_opened
        sending = []
        for _ in range(DEPTH):
            await connection.room()
            sending.append(connection.submit(envelope(), letter()))
        waiting = asyncio.create_task(connection.room())
        await eventually(lambda: "DATA" in primary.commands)
        assert not waiting.done()
        gate.set()
        await waiting
        assert all(result.answers[0].delivered for result in await asyncio.gather(*sending))


async def test_a_message_to_a_thousand() -> None:
    """Each of a thousand recipients gets its own answer, in the order of the envelope."""
    everybody = [f"user{n}@d.example" for n in range(1000)]
    async with ScriptedPrimary() as primary, session(primary) as connection:
        primary.on_rcpt = lambda address: Reply(550, "5.1.1", address) if address.startswith("user7") else None
        result = await connection.send(envelope(*everybody), letter())
        assert [answer.recipient.address for answer in result.answers] == everybody
        for answer in result.answers:
            refused = answer.recipient.address.startswith("user7")
            assert answer.reply.text == (answer.recipient.address if refused else "Taken")
            assert answer.stage is (Stage.RCPT if refused else Stage.END_OF_DATA)


async def test_refused_without_asking() -> None:
    """What the primary has said it doesn't take is refused here, with a reply marked as ours; others go on."""
    async with ScriptedPrimary() as primary:
        primary.offers = ["PIPELINING", "SIZE 1000"]
        async with session(primary) as connection:
            large = await connection.send(envelope("a@d.example", "b@d.example"), b"x" * 1001)
            international = await connection.send(envelope("ü@d.example"), letter())
            fine = await connection.send(envelope(body="8BITMIME"), letter("é"))
        for result, code, enhanced in ((large, 552, "5.3.4"), (international, 550, "5.6.7")):
            for answer in result.answers:
                assert (answer.reply.code, answer.reply.enhanced, answer.local) == (code, enhanced, True)
        assert fine.answers[0].delivered
        assert [taken.mail_parameters for taken in primary.messages] == [{"SIZE": str(len(letter("é")))}]


async def test_asking_for_a_recipient() -> None:
    """A recipient is asked for without sending anything, and the session goes on."""
    async with ScriptedPrimary() as primary, session(primary) as connection:
        primary.on_rcpt = lambda address: Reply(550, "5.1.1", "Nobody") if address == "x@d.example" else None
        assert await connection.ask_recipient("x@d.example") == (Stage.RCPT, Reply(550, "5.1.1", "Nobody"))
        stage, reply = await connection.ask_recipient("c@d.example")
        assert (stage, reply.positive) == (Stage.RCPT, True)
        primary.on_mail = Reply(550, "5.7.1", "Not from you")
        assert await connection.ask_recipient("c@d.example") == (Stage.MAIL, Reply(550, "5.7.1", "Not from you"))
        primary.on_mail = None
        assert (await connection.send(envelope(), letter())).answers[0].delivered
        assert len(primary.messages) == 1


async def test_quit_waits_for_what_was_submitted() -> None:
    """QUIT comes after the last result."""
    async with ScriptedPrimary() as primary, session(primary) as connection:
        sending = [connection.submit(envelope(), letter(str(n))) for n in range(10)]
        await connection.quit()
        assert all(future.result().answers[0].delivered for future in sending)
        assert len(primary.messages) == 10
        assert primary.commands[-1] == "QUIT"


async def test_withdrawing_a_message() -> None:
    """A message whose future is cancelled before it is begun is never sent."""
    async with ScriptedPrimary() as primary, session(primary) as connection:
        first, second, third = (connection.submit(envelope(), letter(str(n))) for n in range(3))
        second.cancel()
        assert (await first).answers[0].delivered
        assert (await third).answers[0].delivered
        await connection.quit()
        assert [taken.content for taken in primary.messages] == [letter("0"), letter("2")]
