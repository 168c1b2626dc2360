"""Large content, committed while it arrives."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from relay.errors import Deferred
from relay.queue import housekeeping
from relay.queue import upload as uploads
from relay.queue.content import PIECE
from relay.queue.model import Incoming
from relay.queue.tables import PLACES
from tests.integration.queue.material import RECEIVED, House, house, outcomes
from tests.support.obstacles import refused
from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("engine")

BIG = random.Random(1).randbytes(700_000) + b"The quick brown fox.\r\n" * 40_000


async def _upload(home: House, content: bytes, *recipients: str) -> Incoming:
    upload = home.queue.upload()
    for start in range(0, len(content), 60_000):
        await upload.write(content[start : start + 60_000])
    return home.letter(*recipients, content=upload, size=len(content))


@pytest.mark.parametrize("size", [0, 1, 256 * 1024, 256 * 1024 + 1, len(BIG)])
async def test_an_upload_becomes_mail_byte_for_byte(tmp_path: Path, size: int) -> None:
    """Pieces that were committed on the way are one message in the end, below our Received line."""
    async with house(tmp_path) as home:
        (number,) = await home.queue.accept(await _upload(home, BIG[:size]))
        assert await home.queue.content(number) == RECEIVED + BIG[:size]
        assert b"".join([piece async for piece in home.queue.pieces(number)]) == RECEIVED + BIG[:size]
        assert home.rows("incoming") == 0
        assert home.problems() == []
        await home.queue.record(outcomes(await home.due()))
        assert home.rows("content") == 0


async def test_pieces_are_on_disk_before_the_message_is(tmp_path: Path) -> None:
    """Memory holds less than a piece of what is arriving; until it is accepted nobody sees it."""
    async with house(tmp_path) as home:
        upload = home.queue.upload()
        await upload.write(BIG[:600_000])
        assert await eventually(lambda: home.rows("content") == 2)
        assert home.rows("incoming") == 1
        assert await home.due() == []
        assert home.problems() == []


async def test_an_aborted_upload_leaves_nothing(tmp_path: Path) -> None:
    """A client that hangs up in the middle of its message leaves no content behind."""
    async with house(tmp_path) as home:
        upload = home.queue.upload()
        await upload.write(BIG)
        await upload.abort()
        await upload.abort()
        assert home.rows("content") == home.rows("incoming") == 0


async def test_aborting_what_has_become_mail_changes_nothing(tmp_path: Path) -> None:
    """abort() is safe to say in any case: after the commit the content is the message's."""
    async with house(tmp_path) as home:
        letter = await _upload(home, BIG, "user@acme.example", "user@bolt.example")
        numbers = await home.queue.accept(letter)
        assert not isinstance(letter.content, bytes)
        await letter.content.abort()
        for number in numbers:
            assert await home.queue.content(number) == RECEIVED + BIG


async def test_what_was_aborted_can_not_be_accepted(tmp_path: Path) -> None:
    """An upload that is no longer there is 451 to its client, never a message without content."""
    async with house(tmp_path) as home:
        letter = await _upload(home, BIG)
        assert not isinstance(letter.content, bytes)
        await letter.content.abort()
        with pytest.raises(Deferred, match="451"):
            await home.queue.accept(letter)
        assert home.rows("messages") == 0
        assert home.problems() == []


async def test_a_client_that_goes_while_a_piece_is_stored(tmp_path: Path) -> None:
    """The number of the content isn't forgotten with the client, so that abort() finds what to remove."""
    async with house(tmp_path) as home:
        upload = home.queue.upload()
        with home.busy():
            writing = asyncio.create_task(upload.write(BIG[:300_000]))
            await eventually(lambda: home.queue._writer._in_hand)
            writing.cancel()
            await asyncio.sleep(0)
        await upload.abort()
        await eventually(lambda: home.rows("content") == home.rows("incoming") == 0)
        with pytest.raises(Deferred, match="451"):
            await home.queue.accept(home.letter(content=upload))


@pytest.fixture
def slow_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every commit takes long."""
    monkeypatch.setattr(uploads, "SLOW", 0.0)
    monkeypatch.setattr(uploads, "MOST", 4)


@pytest.mark.usefixtures("slow_disk")
async def test_on_a_slow_disk_several_pieces_are_on_their_way(tmp_path: Path) -> None:
    """So many and no more: then whoever sends has to wait; what becomes mail is in its order, and whole."""
    async with house(tmp_path) as home:
        upload = home.queue.upload()
        await upload.write(BIG[:PIECE])
        with home.busy():
            await upload.write(BIG[PIECE : 4 * PIECE])
            waiting = asyncio.create_task(upload.write(BIG[4 * PIECE :]))
            done, _ = await asyncio.wait([waiting], timeout=0.2)
            assert not done
            assert home.queue._uploads.on_their_way == 4
        await waiting
        (number,) = await home.queue.accept(home.letter(content=upload, size=len(BIG)))
        assert await home.queue.content(number) == RECEIVED + BIG
        assert home.problems() == []


@pytest.mark.usefixtures("slow_disk")
async def test_one_piece_that_can_not_be_stored_is_the_end_of_its_message(tmp_path: Path) -> None:
    """Though others behind it were on their way and got there: it is put off once, nothing of it stays, and the next
    message isn't harmed."""
    async with house(tmp_path) as home:
        upload = home.queue.upload()
        await upload.write(BIG[:PIECE])
        with refused(home.db, "INSERT", "content", when=f"(NEW.id & {PLACES - 1}) = 3"):
            with home.busy():
                await upload.write(BIG[PIECE : 4 * PIECE])
            with pytest.raises(Deferred, match="451"):
                await home.queue.accept(home.letter(content=upload))
            assert home.rows("content") == 3
            with pytest.raises(Deferred, match="451"):
                await upload.write(BIG[4 * PIECE :])
            await upload.abort()
            assert home.rows("content") == home.rows("incoming") == home.rows("messages") == 0
        await home.queue.accept(await _upload(home, BIG))
        assert home.problems() == []
        assert home.queue._uploads.on_their_way == 0


@pytest.mark.usefixtures("slow_disk")
async def test_a_client_that_goes_while_pieces_are_on_their_way(tmp_path: Path) -> None:
    """Those that are stored after it has gone are removed with the others."""
    async with house(tmp_path) as home:
        upload = home.queue.upload()
        await upload.write(BIG[:PIECE])
        with home.busy():
            writing = asyncio.create_task(upload.write(BIG[PIECE:]))
            await eventually(lambda: home.queue._uploads.on_their_way == 4)
            writing.cancel()
            aborting = asyncio.create_task(upload.abort())
            await asyncio.sleep(0)
        await aborting
        assert home.rows("content") == home.rows("incoming") == 0


async def test_orphans_of_a_node_go_at_its_start(tmp_path: Path) -> None:
    """What a node was receiving when it was killed is removed when it starts; another node's is left alone."""
    async with house(tmp_path) as home:
        await home.queue.upload().write(BIG)
        await home.accept()
        with home.db.write() as connection:
            connection.exec_driver_sql("INSERT INTO incoming VALUES (999, 'n2', 1e10)")
            connection.exec_driver_sql("INSERT INTO content VALUES (999 * 65536 + 1, false, '')")
    async with house(tmp_path) as home:
        assert home.rows("incoming") == 1
        assert home.rows("content") == 2
        assert len(await home.due()) == 1
        assert home.problems() == []


async def test_orphans_of_a_node_that_runs_on_go_after_a_day(tmp_path: Path) -> None:
    """What couldn't be removed when its sender hung up doesn't fill the disk until somebody restarts the node."""
    async with house(tmp_path) as home:
        await home.accept()
        for _ in range(2):
            upload = home.queue.upload()
            await upload.write(BIG)
            with refused(home.db, "DELETE", "incoming"):
                await upload.abort()
        assert home.rows("incoming") == 2
        await housekeeping.sweep(home.queue._call, home.clock.now() + uploads.ABANDONED - 60)
        assert home.rows("incoming") == 2
        await housekeeping.sweep(home.queue._call, home.clock.now() + uploads.ABANDONED + 60)
        assert home.rows("incoming") == 0
        assert home.rows("content") == 1
        assert home.problems() == []
