"""The outbox: everything reaches the helpdesk, in order for each ticket, whatever the helpdesk does."""

from __future__ import annotations

import asyncio
from collections.abc import Container, Mapping
from contextlib import suppress

import pytest

from relay import events
from relay.tickets import operators
from relay.tickets.helpdesks.embedded import Embedded
from relay.tickets.helpdesks.helpdesk import Heard, Helpdesk, Message
from relay.tickets.outbox import AT_ONCE, KEEP, Outbox
from relay.tickets.states import Condition, Priority
from tests.integration.tickets.conftest import Desk
from tests.integration.tickets.posting import ALWAYS, drain, once
from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("engine")

P1, P2, P3 = Priority.P1, Priority.P2, Priority.P3


class Ledger:
    """A helpdesk that keeps what it was told, numbers tickets its own way, and fails while it is told to."""

    name = "ledger"
    url = "ledger:"

    def __init__(self) -> None:
        self.told: list[Message] = []
        self.failing: set[int] = set()
        self.lost_reply = False

    async def deliver(self, message: Message) -> str | None:
        if message.ticket_id in self.failing:
            raise ConnectionError("connection refused")
        self.told.append(message)
        if self.lost_reply:
            raise TimeoutError
        return f"HD-{message.ticket_id + 1000}"

    async def hear(self, cursor: str, tickets: Mapping[str, int], known: Container[str]) -> Heard:
        return Heard((), cursor)

    async def check(self) -> str:
        return "it is here"

    async def close(self) -> None:
        pass

    def story(self, ticket_id: int) -> list[str]:
        return [message.kind for message in self.told if message.ticket_id == ticket_id]


def outbox_of(office: Desk, helpdesk: Helpdesk) -> Outbox:
    return Outbox(office.db, office.clock, helpdesk, ALWAYS)


def unsent(office: Desk) -> int:
    return int(office.rows("SELECT count(*) FROM outbox WHERE sent_at IS NULL")[0][0])


async def test_messages_arrive_in_order_with_the_ticket_as_it_stood(office: Desk) -> None:
    """Each message carries the absolute state right after its event, and the helpdesk's own name is kept."""
    ticket = office.facts(P3)
    assert ticket is not None
    office.facts(None)
    helpdesk = Ledger()
    await drain(outbox_of(office, helpdesk))
    assert helpdesk.story(ticket.id) == ["opened", "priority", "resolved"]
    stood = [(told.payload["ticket"]["priority"], told.payload["ticket"]["status"]) for told in helpdesk.told]
    assert stood == [(1, "open"), (3, "open"), (3, "resolved")]
    assert [told.external_ref for told in helpdesk.told] == [None, "HD-1001", "HD-1001"]
    assert len({told.payload["event"]["id"] for told in helpdesk.told}) == 3
    assert office.rows("SELECT external_ref FROM tickets") == [("HD-1001",)]
    assert unsent(office) == 0


async def test_a_failing_helpdesk_loses_nothing_and_keeps_the_order(office: Desk) -> None:
    """What follows for the same ticket waits for the first; other tickets don't; pauses grow."""
    acme = office.facts(P1)
    assert acme is not None
    other = office.do(operators.open_ticket, "gold", Condition.MAILFLOW, P2, "dana", "slow", office.now)
    helpdesk = Ledger()
    helpdesk.failing = {acme.id}
    outbox = outbox_of(office, helpdesk)
    await drain(outbox)
    office.facts(P3)
    assert helpdesk.story(acme.id) == []
    assert helpdesk.story(other.id) == ["opened"]
    assert office.rows("SELECT attempts, last_error FROM outbox ORDER BY id LIMIT 1") == [(1, "connection refused")]
    assert await once(outbox) == 0, "not before its time"
    office.now += 5
    assert await once(outbox) == 1
    office.now += 5
    assert await once(outbox) == 0, "the second pause is longer"
    helpdesk.failing = set()
    office.now += 5
    await drain(outbox)
    assert helpdesk.story(acme.id) == ["opened", "priority"]
    assert unsent(office) == 0


async def test_a_lost_reply_repeats_the_same_message(office: Desk) -> None:
    """Where it isn't certain that a message arrived it comes again, and its event number tells the repetition."""
    office.facts(P1)
    helpdesk = Ledger()
    helpdesk.lost_reply = True
    outbox = outbox_of(office, helpdesk)
    await drain(outbox)
    helpdesk.lost_reply = False
    office.now += 5
    await drain(outbox)
    first, second = helpdesk.told
    assert first.payload["event"]["id"] == second.payload["event"]["id"]
    assert office.rows("SELECT last_error FROM outbox") == [("no answer within 30 s",)]
    assert unsent(office) == 0


async def test_one_stubborn_ticket_among_many_delays_no_other(office: Desk) -> None:
    """More tickets than are told about at once all get their turn while one of them fails for ever."""
    stuck = office.facts(P1)
    assert stuck is not None
    for condition in list(Condition)[1:]:
        office.facts(P3, condition=condition, outage_id=None)
        office.facts(P3, condition=condition, outage_id=None, appliance_id=office.gold.id, appliance="gold")
    office.facts(P1, appliance_id=office.gold.id, appliance="gold", outage_id=2)
    for number in range(AT_ONCE):
        office.do(operators.comment, stuck.id, "dana", f"note {number}", office.now)
    helpdesk = Ledger()
    helpdesk.failing = {stuck.id}
    await drain(outbox_of(office, helpdesk))
    assert len(helpdesk.told) == 13
    assert unsent(office) == AT_ONCE + 1


async def test_the_loop_delivers_what_comes_later_and_ends_when_told_to(office: Desk) -> None:
    """A ticket that is opened while the loop runs is told about without anybody asking."""
    helpdesk = Ledger()
    running = asyncio.create_task(outbox_of(office, helpdesk).run())
    ticket = office.facts(P1)
    assert ticket is not None
    await eventually(lambda: helpdesk.story(ticket.id) == ["opened"])
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_the_embedded_helpdesk_announces_and_is_done(office: Desk) -> None:
    """With the desk in the database nothing waits, and the metrics count what happened."""

    def opened() -> float:
        return events.registry.get_sample_value("relay_ticket_events_total", {"event": "opened"}) or 0.0

    before = opened()
    office.facts(P1)
    await drain(outbox_of(office, Embedded()))
    assert unsent(office) == 0
    assert opened() == before + 1
    assert office.rows("SELECT external_ref FROM tickets") == [(None,)]


async def test_delivered_messages_are_forgotten_after_a_month(office: Desk) -> None:
    """What was delivered long ago leaves the outbox; the history keeps it."""
    office.facts(P1)
    outbox = outbox_of(office, Ledger())
    await drain(outbox)
    office.now += KEEP + 1
    office.facts(P3)
    await drain(outbox)
    assert office.rows("SELECT kind FROM outbox") == [("priority",)]
    assert office.rows("SELECT count(*) FROM ticket_events") == [(2,)]
