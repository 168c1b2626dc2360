"""Mail by way of PgBouncer, which gives a session to each transaction."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from relay.db import Database
from tests.integration.queue.material import RECEIVED, house, outcomes
from tests.support.pgbouncer import pooler
from tests.support.postgres import PostgresCluster


async def test_mail_comes_and_goes_by_a_pooler(postgres: PostgresCluster, tmp_path: Path) -> None:
    """Nothing that mail needs is kept in a session: in groups, in pieces, and more nodes than there are sessions."""
    with pooler(postgres, tmp_path) as pooled:
        url = pooled(postgres.fresh())
        async with house(tmp_path, db=Database(url)) as home:
            upload = home.queue.upload()
            large = random.Random(1).randbytes(700_000)
            await upload.write(large)
            (number,) = await home.accept(content=upload, size=len(large))
            await asyncio.gather(*(home.accept("a@acme.example", "b@bolt.example") for _ in range(100)))
            assert b"".join([piece async for piece in home.queue.pieces(number)]) == RECEIVED + large
            for appliance in (home.acme, home.bolt):
                mail = await home.due(appliance)
                contents = await asyncio.gather(*(home.queue.content(message.id) for message in mail))
                assert all(contents)
                await asyncio.gather(*(home.queue.record(outcomes([message])) for message in mail))
            assert home.ledger().delivered == 101
            assert [home.rows(table) for table in ("messages", "recipients", "content")] == [0, 0, 0]
            assert home.problems() == []
