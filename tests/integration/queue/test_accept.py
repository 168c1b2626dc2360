"""Accepting mail and reading it back."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from pathlib import Path

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from relay.appliances import store
from relay.errors import Deferred, NotFound
from relay.mail import Client, Recipient
from relay.queue.model import Due
from relay.queue.sums import Depth
from tests.integration.queue.material import CONTENT, NOW, RECEIVED, house, outcomes
from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("engine")


async def test_what_was_accepted_is_due_with_its_whole_envelope(tmp_path: Path) -> None:
    """Sender, recipients, DSN parameters and the original client come out as they went in."""
    async with house(tmp_path) as home:
        (number,) = await home.accept("user@acme.example", "Other@ACME.test")
        (message,) = await home.due()
    assert message.id == number
    assert (message.sender, message.size, message.received_at) == ("ann@elsewhere.example", len(CONTENT), NOW)
    assert (message.body, message.smtputf8, message.ret, message.envid) == ("8BITMIME", False, "HDRS", "QQ314159")
    assert message.client == Client("192.0.2.7", 4711, "client.example", "ESMTPS")
    assert message.outage_id is None
    assert message.attempts == 0
    first, second = message.recipients
    assert first == Due(first.id, "user@acme.example", None, None, 0, "acme.example")
    assert second == Due(second.id, "Other@ACME.test", None, None, 0, "acme.test")


async def test_dsn_parameters_of_a_recipient_are_kept(tmp_path: Path) -> None:
    """NOTIFY and ORCPT are handed on in their own case."""
    async with house(tmp_path) as home:
        letter = home.letter()
        recipient = Recipient("user@acme.example", "NEVER", "rfc822;User@Acme.example")
        (domain, _), *_ = letter.routes
        await home.queue.accept(dataclasses.replace(letter, routes=((domain, (recipient,)),)))
        (message,) = await home.due()
    assert (message.recipients[0].notify, message.recipients[0].orcpt) == ("NEVER", "rfc822;User@Acme.example")


async def test_recipients_of_two_appliances_become_two_messages(tmp_path: Path) -> None:
    """One transaction, one content on disk, a message for each appliance; the content stays until both have left."""
    async with house(tmp_path) as home:
        numbers = await home.accept("user@acme.example", "user@bolt.example")
        (for_acme,), (for_bolt,) = await home.due(home.acme), await home.due(home.bolt)
        assert sorted(numbers) == sorted([for_acme.id, for_bolt.id])
        assert home.rows("content") == 1
        assert await home.queue.content(for_acme.id) == await home.queue.content(for_bolt.id) == RECEIVED + CONTENT
        await eventually(lambda: home.woken == [{home.acme, home.bolt}])


async def test_each_message_has_its_line_in_the_log(tmp_path: Path) -> None:
    """With its number, its own recipients and domains, and who brought it."""
    async with house(tmp_path) as home:
        with capture_logs() as lines:
            numbers = await home.accept(
                "user@acme.example", "other@acme.example", "user@acme.test", "user@bolt.example"
            )
            await eventually(lambda: len(home.woken) == 1)
    said = {line["id"]: line for line in lines if line["event"] == "accepted"}
    assert sorted(said) == sorted(numbers)
    assert sorted((line["recipients"], line["domains"]) for line in said.values()) == [
        (1, ["bolt.example"]),
        (3, ["acme.example", "acme.test"]),
    ]
    for line in said.values():
        assert (line["sender"], line["client"], line["size"]) == ("ann@elsewhere.example", "192.0.2.7", len(CONTENT))


async def test_mail_for_a_domain_that_was_removed_while_it_arrived_is_refused_for_now(tmp_path: Path) -> None:
    """Nobody would ever hand it over: 451, while other mail of the same moment is stored; nothing is left of it."""
    async with house(tmp_path) as home:
        with home.db.write() as connection:
            store.remove_domain(connection, "acme.example")
            store.set_domain(connection, "acme.test", appliance_id=home.bolt)
        gone, moved, stays = await asyncio.gather(
            home.accept("user@acme.example"),
            home.accept("user@acme.test"),
            home.accept("user@bolt.example"),
            return_exceptions=True,
        )
        for refused in (gone, moved):
            assert isinstance(refused, Deferred)
            assert refused.reply.code == 451
        assert isinstance(stays, list)
        assert home.rows("messages") == home.rows("content") == 1
        assert home.problems() == []


async def test_numbers_grow_and_are_never_given_twice(tmp_path: Path) -> None:
    """A message that came later has a higher number, also after the queue was empty and the node started anew."""
    async with house(tmp_path) as home:
        first = await home.accept()
        await home.queue.record(outcomes(await home.due()))
        assert home.rows("messages") == 0
    async with house(tmp_path) as home:
        second = await home.accept()
        assert await home.queue.last_number() == second[0]
    assert second[0] > first[0]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=5000))
def test_content_is_kept_byte_for_byte(tmp_path: Path, content: bytes) -> None:
    """NUL, 8-bit, bare line ends, no line end at all: what came is what is sent, below one Received line."""

    async def main() -> None:
        async with house(tmp_path) as home:
            (number,) = await home.accept(content=content)
            assert await home.queue.content(number) == RECEIVED + content
            assert b"".join([piece async for piece in home.queue.pieces(number)]) == RECEIVED + content

    uvloop.run(main())


@pytest.mark.parametrize("size", [0, 64 * 1024 - 1, 64 * 1024 + 1, 256 * 1024, 900_000, 3_000_000])
async def test_content_of_every_size_is_kept(tmp_path: Path, size: int) -> None:
    """Packed by the writer, in a thread or in pieces: it makes no difference to what comes out."""
    content = random.Random(size).randbytes(size // 2) + b"x" * (size - size // 2)
    async with house(tmp_path) as home:
        (number,) = await home.accept(content=content)
        assert await home.queue.content(number) == RECEIVED + content
        pieces = [piece async for piece in home.queue.pieces(number)]
    assert b"".join(pieces) == RECEIVED + content
    assert max(len(piece) for piece in pieces) <= 256 * 1024


async def test_a_message_that_is_gone_is_said_to_be_gone(tmp_path: Path) -> None:
    """Nobody gets an empty or half a message for one that an operator dropped meanwhile."""
    async with house(tmp_path) as home:
        with pytest.raises(NotFound):
            await home.queue.content(4711)
        with pytest.raises(NotFound):
            _ = [piece async for piece in home.queue.pieces(4711)]


async def test_many_at_once_share_commits_and_all_arrive(tmp_path: Path) -> None:
    """A hundred clients at the same moment get a hundred different numbers, and all of their mail is there."""
    async with house(tmp_path) as home:
        contents = [f"Subject: {place}\r\n\r\n{place}\r\n".encode() for place in range(100)]
        given = await asyncio.gather(*(home.accept(content=content) for content in contents))
        read = await asyncio.gather(*(home.queue.content(number) for (number,) in given))
        assert home.queue.depth(home.acme).queued == 100
    assert [content.removeprefix(RECEIVED) for content in read] == contents


async def test_a_client_that_goes_while_its_message_is_stored_disturbs_nobody(tmp_path: Path) -> None:
    """A cancelled accept() leaves the writer working, and what it does leave is whole."""
    async with house(tmp_path) as home:
        with home.busy():  # so that the commit is under way when its client goes
            gone = asyncio.create_task(home.accept("gone@acme.example"))
            await eventually(lambda: home.queue._writer._in_hand)
            also_gone = asyncio.create_task(home.accept("too@acme.example"))
            stays = asyncio.create_task(home.accept("stays@acme.example"))
            await eventually(lambda: len(home.queue._writer._gathering) == 2)
            gone.cancel()
            also_gone.cancel()
            await asyncio.sleep(0)
        await stays
        addresses = {recipient.address for message in await home.due() for recipient in message.recipients}
        assert "stays@acme.example" in addresses
        assert "too@acme.example" not in addresses  # it was not begun, so its client's next try makes no duplicate
        assert home.problems() == []


async def test_more_recipients_than_a_message_can_number(tmp_path: Path) -> None:
    """Seventy thousand recipients become two messages with one content."""
    async with house(tmp_path) as home:
        numbers = await home.accept(*(f"user{place}@acme.example" for place in range(70_000)))
        assert len(numbers) == 2
        assert home.queue.depth(home.acme).queued == 70_000
        assert home.rows("content") == 1


async def test_what_waits_for_a_domain_follows_what_comes_and_goes(tmp_path: Path) -> None:
    """A message counts once for each domain that it has recipients at, until it has left."""
    async with house(tmp_path) as home:
        await home.accept("a@acme.example", "b@acme.example", "c@acme.test")
        await home.accept("a@acme.example")
        depth = home.queue.depth_of_domain
        assert depth("acme.example") == Depth(queued=3, bytes=2 * len(CONTENT), messages=2)
        assert depth("acme.test") == Depth(queued=1, bytes=len(CONTENT), messages=1)
        assert depth("bolt.example") == Depth()
        first, second = await home.due()
        await home.queue.record(outcomes([first])[:2])
        # It is still here, for c@acme.test.
        assert depth("acme.example") == Depth(queued=1, bytes=2 * len(CONTENT), messages=2)
        await home.queue.record(outcomes([first, second]))
        assert depth("acme.example") == depth("acme.test") == Depth()
        assert home.problems() == []
