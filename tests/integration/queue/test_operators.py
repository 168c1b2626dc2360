"""What operators do, from a connection of their own beside a running node."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from relay.appliances import wakes
from relay.errors import NotFound
from relay.queue import operators
from relay.queue.export import pieces
from relay.queue.filter import Filter
from relay.queue.states import Reason, State
from tests.integration.queue.material import CONTENT, LATER, NO, NOW, RECEIVED, House, house, outcomes
from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("engine")


async def _variety(home: House) -> dict[str, int]:
    """Five messages, each different in something that can be asked for; their numbers by a name."""
    numbers = {
        "plain": (await home.accept("user@acme.example"))[0],
        "null": (await home.accept("user@acme.example", sender=""))[0],
        "test": (await home.accept("User@acme.test", sender="Bob@Elsewhere.example"))[0],
        "bolt": (await home.accept("user@bolt.example", received_at=NOW - 7200))[0],
        "failed": (await home.accept("nobody@acme.example"))[0],
    }
    (failed,) = [message for message in await home.due() if message.id == numbers["failed"]]
    await home.queue.record(outcomes([failed], State.HELD, NO, reason=Reason.FAILED))
    return numbers


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Filter(), ["plain", "null", "test", "bolt", "failed"]),
        (Filter(domain="ACME.example."), ["plain", "null", "failed"]),
        (Filter(sender="bob@elsewhere.EXAMPLE"), ["test"]),
        (Filter(sender="<>"), ["null"]),
        (Filter(recipient="USER@acme.test"), ["test"]),
        (Filter(state=State.HELD), ["failed"]),
        (Filter(state=State.QUEUED, domain="acme.example"), ["plain", "null"]),
        (Filter(reason=Reason.FAILED), ["failed"]),
        (Filter(reason=Reason.BREAKER), []),
        (Filter(older_than=3600), ["bolt"]),
        (Filter(state=State.DELIVERED), []),
    ],
)
async def test_one_filter_finds_what_was_asked_for(tmp_path: Path, wanted: Filter, expected: list[str]) -> None:
    """Everything that is given must hold; domains and addresses are compared without case."""
    async with house(tmp_path) as home:
        numbers = await _variety(home)
        assert [row.id for row in operators.select_rows(home.db, wanted, NOW)] == [numbers[name] for name in expected]
        assert operators.count(home.db, wanted, NOW, operators.drop) == len(expected)


async def test_messages_can_be_named_by_number(tmp_path: Path) -> None:
    """--id takes several, in any order, and one that isn't there matches nothing."""
    async with house(tmp_path) as home:
        numbers = await _variety(home)
        wanted = Filter(ids=(numbers["bolt"], 4711, numbers["plain"]))
        rows = operators.select_rows(home.db, wanted, NOW)
        assert [row.id for row in rows] == [numbers["plain"], numbers["bolt"]]


async def test_a_line_shows_what_its_recipients_share(tmp_path: Path) -> None:
    """One message, two domains and two states make three lines, each with its own last reply and next time."""
    async with house(tmp_path) as home:
        (number,) = await home.accept("a@acme.example", "b@acme.example", "c@acme.example", "d@acme.test")
        (message,) = await home.due()
        (first,) = outcomes([message], State.HELD, NO, reason=Reason.FAILED)[:1]
        (second,) = outcomes([message], State.QUEUED, LATER, at=NOW + 1, next_attempt_at=NOW + 60)[1:2]
        (third,) = outcomes([message], State.QUEUED, LATER, next_attempt_at=NOW + 30)[2:3]
        await home.queue.record([first, second, third])
        held, queued, other = operators.select_rows(home.db, Filter(), NOW)
        assert {row.id for row in (held, queued, other)} == {number}
        assert (held.recipients, held.state, held.reason) == (("a@acme.example",), State.HELD, Reason.FAILED)
        assert held.last_reply == "550 5.1.1 no such user"
        assert queued.recipients == ("b@acme.example", "c@acme.example")
        assert (queued.attempts, queued.next_attempt_at) == (1, NOW + 30)
        assert (queued.size, queued.received_at, queued.sender) == (len(CONTENT), NOW, "ann@elsewhere.example")
        assert (other.domain, other.attempts, other.next_attempt_at, other.last_reply) == ("acme.test", 0, None, "")


async def test_lists_are_read_in_pages(tmp_path: Path) -> None:
    """limit and after go through a long list without missing or repeating a message, large ones included."""
    async with house(tmp_path) as home:
        for count in (1, 700, 2, 1200, 1, 1, 3):
            await home.accept(*(f"u{n}@acme.example" for n in range(count)))
        seen: list[int] = []
        while rows := operators.select_rows(home.db, Filter(), NOW, limit=2, after=seen[-1] if seen else 0):
            seen += [row.id for row in rows]
        assert seen == sorted(set(seen))
        assert len(seen) == 7
        everything = operators.select_rows(home.db, Filter(), NOW, limit=100)
        assert [len(row.recipients) for row in everything] == [1, 700, 2, 1200, 1, 1, 3]


async def test_held_mail_waits_until_it_is_released(tmp_path: Path) -> None:
    """hold takes mail out of the way of delivery, release puts it back; both say how many they changed."""
    async with house(tmp_path) as home:
        await _variety(home)
        assert operators.hold(home.db, Filter(domain="acme.example"), NOW, "ann") == 2
        assert operators.hold(home.db, Filter(domain="acme.example"), NOW, "ann") == 0
        assert [message.sender for message in await home.due()] == ["Bob@Elsewhere.example"]
        assert operators.release(home.db, Filter(reason=Reason.OPERATOR), NOW, "ann") == 2
        assert operators.release(home.db, Filter(), NOW, "ann") == 1  # the failed one
        assert len(await home.due()) == 4
        assert home.problems() == []


async def test_a_retry_forgets_the_retry_time(tmp_path: Path) -> None:
    """Deferred mail is due at once after retry, and held mail stays held."""
    async with house(tmp_path) as home:
        await _variety(home)
        deferred = outcomes(await home.due(), State.QUEUED, LATER, next_attempt_at=NOW + 3600)
        await home.queue.record(deferred)
        assert await home.due() == []
        assert operators.count(home.db, Filter(), NOW, operators.retry) == 4
        assert operators.retry(home.db, Filter(), NOW, "ann") == 4
        assert len(await home.due()) == 3
        assert home.ledger().held == 1


async def test_dropped_mail_leaves_its_trace(tmp_path: Path) -> None:
    """drop gives mail up for good, whatever state it waits in, in slices; the trace says who did it."""
    async with house(tmp_path) as home:
        await _variety(home)
        await home.accept(*(f"u{n}@acme.example" for n in range(1100)))
        assert operators.drop(home.db, Filter(domain="acme.example"), NOW, "ann") == 1103
        ledger = home.ledger()
        assert (ledger.dropped, ledger.queued, ledger.held) == (1103, 0, 0)
        assert home.rows("messages") == 2
        assert home.problems() == []
        await eventually(lambda: home.queue.depth_of_domain("acme.example").bytes == 0)


async def test_operators_wake_the_owner(tmp_path: Path) -> None:
    """A verb marks the appliances whose mail it changed, in the same transaction."""
    async with house(tmp_path) as home:
        await _variety(home)
        operators.release(home.db, Filter(), NOW, "ann")
        with home.db.read() as connection:
            assert wakes.since(connection, 0)[1] == {home.acme}


async def test_an_export_is_what_would_be_sent(tmp_path: Path) -> None:
    """Byte for byte, also in pieces; a number that isn't there is refused in words."""
    content = random.Random(1).randbytes(600_000)
    async with house(tmp_path) as home:
        (number,) = await home.accept(content=content)
        assert b"".join(pieces(home.db, number)) == RECEIVED + content
        with pytest.raises(NotFound, match="relayctl trace --id 4711"):
            next(pieces(home.db, 4711))


async def test_a_large_change_lets_mail_in_between(tmp_path: Path) -> None:
    """While thousands of recipients are held, a new message doesn't wait for all of them."""
    async with house(tmp_path) as home:
        for _ in range(10):
            await home.accept(*(f"u{n}@acme.example" for n in range(500)))
        holding = asyncio.create_task(asyncio.to_thread(operators.hold, home.db, Filter(), NOW, "ann"))
        accepted = 0
        while not holding.done():
            await home.accept("new@bolt.example")
            accepted += 1
        assert accepted > 1
        assert 5000 <= await holding <= 5000 + accepted
        assert home.problems() == []
