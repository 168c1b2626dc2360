"""Two nodes, and operators, on one database at the same time: nothing is lost, nothing counted twice."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from relay.appliances import facts, store
from relay.appliances.facts import Continuity, ContinuityFact
from relay.errors import Deferred
from relay.queue import operators
from relay.queue.filter import Filter
from relay.queue.model import Outcome
from relay.queue.queue import Queue
from relay.queue.states import Reason, State
from tests.integration.queue.material import NO, NOW, house, outcomes, second_node
from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("engine")

MANY = 60


async def _record(queue: Queue, what: list[Outcome], seed: int) -> None:
    """In an order of the node's own, in several transactions."""
    random.Random(seed).shuffle(what)
    await asyncio.gather(*(queue.record(what[start : start + 7]) for start in range(0, len(what), 7)))


async def test_numbers_of_two_nodes_never_meet(tmp_path: Path) -> None:
    """Both take mail without a pause: every message has a number of its own, and is there."""
    async with house(tmp_path) as home, second_node(home) as other:
        both = (home.queue.accept, other.accept)
        given = await asyncio.gather(*(accept(home.letter()) for _ in range(MANY) for accept in both))
        numbers = [number for (number,) in given]
        assert len(set(numbers)) == 2 * MANY
        assert sorted(numbers) == [message.id for message in await home.due()]
        assert await other.last_number() >= max(numbers)
        assert home.problems() == []


async def test_the_same_outcomes_from_two_nodes_count_once(tmp_path: Path) -> None:
    """A node that lost its lease and its heir both deliver: one of them is counted, and one trace written."""
    async with house(tmp_path) as home, second_node(home) as other:
        for _ in range(MANY):
            await home.accept("a@acme.example", "b@acme.test")
        mail = await home.due()
        await asyncio.gather(_record(home.queue, outcomes(mail), 1), _record(other, outcomes(mail), 2))
        assert (home.ledger().delivered, home.ledger("acme.test").delivered) == (MANY, MANY)
        assert [home.rows(table) for table in ("messages", "recipients", "content", "trace")] == [0, 0, 0, MANY]
        assert home.problems() == []


async def test_the_last_two_recipients_of_a_message_leave_at_once(tmp_path: Path) -> None:
    """Each node delivers one of them, neither knowing of the other: the message leaves, with its content."""
    async with house(tmp_path) as home, second_node(home) as other:
        for _ in range(MANY):
            await home.accept("a@acme.example", "b@acme.example")
        delivered = outcomes(await home.due())
        await asyncio.gather(_record(home.queue, delivered[::2], 1), _record(other, delivered[1::2], 2))
        assert [home.rows(table) for table in ("messages", "recipients", "content", "trace")] == [0, 0, 0, MANY]
        assert home.ledger().delivered == 2 * MANY
        assert home.problems() == []


async def test_content_that_two_messages_share_goes_with_the_last(tmp_path: Path) -> None:
    """Two nodes hand back the halves of each transaction at once: no content is left over, none is gone too early."""
    async with house(tmp_path) as home, second_node(home) as other:
        for _ in range(MANY):
            await home.accept("a@acme.example", "b@bolt.example")
        for_acme, for_bolt = await home.due(home.acme), await home.due(home.bolt)
        kept = for_bolt[MANY // 2 :]
        await asyncio.gather(
            _record(home.queue, outcomes(for_acme), 1), _record(other, outcomes(for_bolt[: MANY // 2]), 2)
        )
        for message in kept:
            assert await other.content(message.id)
        assert home.rows("content") == len(kept)
        assert home.problems() == []
        await other.record(outcomes(kept))
        assert home.rows("content") == 0


async def test_operators_and_two_nodes_at_work_on_the_same_mail(tmp_path: Path) -> None:
    """Held, released, failed, delivered by all of them at once: in the end each recipient is somewhere, once."""
    async with house(tmp_path) as home, second_node(home) as other:
        accepted = 0

        async def take(queue: Queue) -> None:
            nonlocal accepted
            for _ in range(MANY):
                await queue.accept(home.letter("a@acme.example", "b@acme.example", "c@bolt.example"))
                accepted += 1

        async def hand_back(queue: Queue, seed: int) -> None:
            dice = random.Random(seed)
            for turn in range(MANY):
                mail = await queue.due(dice.choice([home.acme, home.bolt]), NOW + turn, limit=20)
                said = outcomes(mail, at=NOW + turn)
                failed = outcomes(mail, State.HELD, NO, at=NOW + turn, reason=Reason.BREAKER)
                dice.shuffle(said)
                await queue.record([*failed[::5], *said[::3]])
                if turn % 7 == 0:
                    await queue.release(home.acme, Reason.BREAKER)

        def operate() -> None:
            for turn in range(MANY // 4):
                verb = (operators.hold, operators.release, operators.retry)[turn % 3]
                verb(home.db, Filter(), NOW, "ann")

        await asyncio.gather(
            take(home.queue),
            take(other),
            hand_back(home.queue, 1),
            hand_back(other, 2),
            asyncio.to_thread(operate),
        )
        assert home.problems() == []
        operators.release(home.db, Filter(), NOW, "ann")
        for appliance in (home.acme, home.bolt):
            await _record(other, outcomes(await home.due(appliance, NOW + 1000), at=NOW + 1000), 3)
        assert (home.ledger().accepted, home.ledger().delivered) == (2 * accepted, 2 * accepted)
        assert home.ledger("bolt.example").delivered == accepted
        assert [home.rows(table) for table in ("messages", "recipients", "content")] == [0, 0, 0]
        assert home.problems() == []


async def test_no_mail_comes_for_a_domain_after_it_was_removed(tmp_path: Path) -> None:
    """What was on its way when an operator removed the domain is there before that, or refused for now."""
    async with house(tmp_path) as home, second_node(home) as other:
        gone = asyncio.Event()

        async def take(queue: Queue) -> int:
            stored = 0
            while True:
                try:
                    await queue.accept(home.letter("a@acme.test"))
                    stored += 1
                except Deferred as refusal:
                    assert str(refusal).startswith("451")
                    if gone.is_set():
                        return stored

        def remove() -> int:
            with home.db.write() as connection:
                store.remove_domain(connection, "acme.test")
                return int(connection.exec_driver_sql("SELECT count(*) FROM messages").scalar_one())

        taking = [asyncio.create_task(take(queue)) for queue in (home.queue, other) for _ in range(5)]
        await eventually(lambda: home.rows("messages") > MANY)
        there = await asyncio.to_thread(remove)
        gone.set()
        assert sum(await asyncio.gather(*taking)) == there == home.rows("messages")


async def test_mail_that_comes_while_an_outage_begins_is_counted_for_it(tmp_path: Path) -> None:
    """Whatever a node knew when it stored it: nothing that waits is left out."""
    async with house(tmp_path) as home, second_node(home) as other:
        ends = asyncio.Event()

        async def take(queue: Queue) -> None:
            while not ends.is_set():
                await queue.accept(home.letter())

        def begin() -> None:
            with home.db.write() as connection:
                facts.set_continuity(connection, home.acme, ContinuityFact(Continuity.ACTIVE, NOW, outage_id=7))

        taking = [asyncio.create_task(take(queue)) for queue in (home.queue, other) for _ in range(5)]
        await eventually(lambda: home.rows("messages") > MANY)
        await asyncio.to_thread(begin)
        await home.queue.begin_outage(home.acme, 7)
        ends.set()
        await asyncio.gather(*taking)
        assert home.ledger(outage=0).accepted == 0
        assert home.ledger(outage=7).queued == home.rows("recipients")
        assert home.problems() == []


async def test_both_nodes_know_how_much_waits(tmp_path: Path) -> None:
    """What one takes the other's quotas know of within a second or two, and what is handed back as well."""
    async with house(tmp_path) as home, second_node(home) as other:
        await home.accept("a@acme.example", "b@acme.example")
        await eventually(lambda: other.depth(home.acme).queued == 2)
        await other.record(outcomes(await home.due()))
        await eventually(lambda: home.queue.depth(home.acme).queued == 0)
