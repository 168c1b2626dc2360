"""Handing out what is to be tried."""

from __future__ import annotations

import asyncio
from itertools import chain
from pathlib import Path

import pytest

from relay.queue import postgres, sqlite
from relay.queue.states import State
from tests.integration.queue.material import LATER, NOW, House, house, outcomes

pytestmark = pytest.mark.usefixtures("engine")


async def _numbers(home: House, *, newest: bool, limit: int) -> list[list[int]]:
    """The numbers of all pages."""
    pages: list[list[int]] = []
    after: int | None = None
    while page := await home.queue.due(home.acme, NOW, newest=newest, limit=limit, after=after):
        pages.append([message.id for message in page])
        after = page[-1].id
    return pages


async def test_pages_go_through_everything_once_oldest_first(tmp_path: Path) -> None:
    """Page after page gives each message once, in the order of receipt; newest first gives the reverse."""
    async with house(tmp_path) as home:
        given = await asyncio.gather(*(home.accept() for _ in range(25)))
        numbers = sorted(number for (number,) in given)
        pages = await _numbers(home, newest=False, limit=10)
        assert [len(page) for page in pages] == [10, 10, 5]
        assert list(chain(*pages)) == numbers
        assert list(chain(*await _numbers(home, newest=True, limit=7))) == numbers[::-1]


async def test_a_message_is_never_split_between_pages(tmp_path: Path) -> None:
    """All recipients of a message that are due come together, however small the page."""
    async with house(tmp_path) as home:
        for _ in range(3):
            await home.accept(*(f"u{n}@acme.example" for n in range(5)))
        pages = await home.queue.due(home.acme, NOW, limit=2)
        assert [len(message.recipients) for message in pages] == [5]
        assert len(list(chain(*await _numbers(home, newest=False, limit=2)))) == 3
        assert len(list(chain(*await _numbers(home, newest=True, limit=2)))) == 3


async def test_a_message_has_the_moment_of_its_receipt(tmp_path: Path) -> None:
    """To the last digit, and what was not said is nothing."""
    async with house(tmp_path) as home:
        await home.accept(received_at=NOW + 1 / 3)
        (message,) = await home.due()
        assert message.received_at == NOW + 1 / 3
        assert [due.orcpt for due in message.recipients] == [None]


async def test_another_appliances_mail_is_not_handed_out(tmp_path: Path) -> None:
    """Each appliance is asked for by itself."""
    async with house(tmp_path) as home:
        await home.accept("user@bolt.example")
        assert await home.due(home.acme) == []
        assert len(await home.due(home.bolt)) == 1


async def test_a_page_is_read_from_the_hot_index(tmp_path: Path) -> None:
    """However much waits, a page costs what it holds: the index is used, and nothing is sorted."""
    async with house(tmp_path) as home:
        with home.db.read() as connection:
            for order in ("ASC", "DESC"):
                if home.db.dialect == "sqlite":
                    query = sqlite._PAGE.format(order=order)
                    plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", (1, 0, 2**60, NOW, 10)).all()
                    (step,) = [row[-1] for row in plan]
                    assert "USING COVERING INDEX recipients_hot (appliance_id=? AND state=? AND id>? AND id<?)" in step
                    continue
                for other in ("seqscan", "bitmapscan"):  # which are cheaper while there is nothing
                    connection.exec_driver_sql(f"SET LOCAL enable_{other} = off")
                query = postgres._PAGE.format(order=order)
                plan = connection.exec_driver_sql(f"EXPLAIN {query}", (1, 0, 2**60, NOW, 10)).all()
                scan = f"Index Only Scan{' Backward' if order == 'DESC' else ''} using recipients_hot"
                assert [scan in line for (line,) in plan if "->" in line] == [True], plan


async def test_untried_mail_is_what_keeps_an_outage_open(tmp_path: Path) -> None:
    """Of what was queued at the return, what was tried since counts no more, deferred or not; later mail never did."""
    async with house(tmp_path) as home:
        for _ in range(3):
            await home.accept()
        upto = await home.queue.last_number()
        await home.accept()
        mail = await home.due()
        assert await home.queue.untried_since(home.acme, NOW, upto) == 3
        await home.queue.record(outcomes(mail[:1]))
        await home.queue.record(outcomes(mail[1:2], State.QUEUED, LATER, at=NOW + 1, next_attempt_at=NOW + 60))
        assert await home.queue.untried_since(home.acme, NOW, upto) == 1
        assert await home.queue.untried_since(home.acme, NOW + 2, upto) == 2
        assert await home.queue.untried_since(home.bolt, NOW, upto) == 0
