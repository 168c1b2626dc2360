"""How much of large messages may be on its way to the disk at a time."""

from __future__ import annotations

import asyncio

import pytest

from relay.errors import Deferred
from relay.queue.content import PIECE, Piece
from relay.queue.upload import ALL, MOST, SLOW, Uploads, Work


def commit(work: Work, weight: int) -> asyncio.Future[int]:
    raise AssertionError("nothing is written here")


async def pack(data: bytes) -> Piece:
    return False, data


def test_on_a_quick_disk_each_piece_is_awaited() -> None:
    """The turns of other domains' mail aren't made longer for nothing."""
    uploads = Uploads(commit, pack, "n1", lambda: 0.0)
    assert uploads.room(0)
    assert not uploads.room(1)


def test_on_a_slow_one_there_is_room_for_some_of_one_and_of_all() -> None:
    """However many messages come, each may have one, and together they have no more than a commit holds."""
    uploads = Uploads(commit, pack, "n1", lambda: 0.0)
    uploads.on_their_way = 2
    uploads.over(SLOW)
    assert [uploads.room(number) for number in (1, MOST - 1, MOST)] == [True, True, False]
    uploads.on_their_way = ALL
    assert uploads.room(0)
    assert not uploads.room(1)
    uploads.over(SLOW)
    assert uploads.room(1)
    uploads.over(SLOW / 2)
    assert not uploads.room(1)


async def test_what_has_lost_a_piece_takes_no_more_and_never_counts_as_whole() -> None:
    """Though what comes after it could be stored."""
    refused = False

    def commit(work: Work, weight: int) -> asyncio.Future[int]:
        if refused:
            raise Deferred(451, "4.3.0", "not now")
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        done.set_result(1)
        return done

    upload = Uploads(commit, pack, "n1", lambda: 0.0).begin(0.0)
    await upload.write(bytes(PIECE))
    refused = True
    with pytest.raises(Deferred):
        await upload.write(bytes(PIECE))
    refused = False
    with pytest.raises(Deferred):
        await upload.write(bytes(PIECE))
    with pytest.raises(Deferred):
        await upload.finish(b"")
