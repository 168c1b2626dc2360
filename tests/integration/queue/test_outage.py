"""An appliance's mail through an outage: what is counted for it, the breaker's hold, and expiry."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from relay.appliances import facts, store
from relay.appliances.facts import Continuity, ContinuityFact
from relay.queue.ledger import Ledger
from relay.queue.states import Reason, State
from tests.integration.queue.material import LATER, NO, NOW, House, house, outcomes, settlement

pytestmark = pytest.mark.usefixtures("engine")

DAY = 86400.0


def _outage(home: House, outage: int | None) -> None:
    """continuity says which outage the appliance is in."""
    with home.db.write() as connection:
        state = Continuity.STANDBY if outage is None else Continuity.ACTIVE
        facts.set_continuity(connection, home.acme, ContinuityFact(state, NOW, outage_id=outage))


async def test_mail_is_counted_for_the_outage_it_waits_in(tmp_path: Path) -> None:
    """What waited at its begin and what came during it is the outage's; what came before or after is not."""
    async with house(tmp_path) as home:
        await home.accept("before@acme.example")
        await home.queue.record(outcomes(await home.due()))
        await home.accept("waits@acme.example", "waits@bolt.example")
        _outage(home, 7)
        for _ in range(2):
            await home.queue.begin_outage(home.acme, 7)
        await home.accept("during@acme.example")
        assert {message.outage_id for message in await home.due()} == {7}
        _outage(home, None)
        await home.queue.record(outcomes(await home.due()))
        await home.accept("after@acme.example")
        assert home.ledger(outage=7) == Ledger("acme.example", 2, 2, 0, 0, 0, 0, 0)
        assert home.ledger(outage=0) == Ledger("acme.example", 2, 1, 0, 0, 0, 1, 0)
        assert home.ledger() == Ledger("acme.example", 4, 3, 0, 0, 0, 1, 0)
        assert home.ledger("bolt.example", 7).accepted == 0
        assert home.problems() == []


async def test_a_large_backlog_moves_to_the_outage_in_slices(tmp_path: Path) -> None:
    """More than one slice of queued and held recipients moves whole, keeping states and reasons."""
    async with house(tmp_path) as home:
        await home.accept(*(f"u{n}@acme.example" for n in range(1300)))
        (message,) = await home.due()
        await home.queue.record(outcomes([message], State.HELD, NO, reason=Reason.FAILED)[:600])
        _outage(home, 3)
        await home.queue.begin_outage(home.acme, 3)
        assert home.ledger(outage=3) == Ledger("acme.example", 1300, 0, 0, 0, 0, 700, 600)
        assert home.ledger(outage=0).accepted == 0
        assert home.problems() == []


async def test_retry_times_of_before_an_outage_are_forgotten(tmp_path: Path) -> None:
    """Mail that the primary deferred before it died is tried as soon as it returns; deferrals of after it stand."""
    async with house(tmp_path) as home:
        await home.accept()
        await home.queue.record(outcomes(await home.due(), State.QUEUED, LATER, next_attempt_at=NOW + 3600))
        _outage(home, 1)
        await home.queue.begin_outage(home.acme, 1)
        mail = await home.due()
        assert len(mail) == 1
        await home.queue.record(outcomes(mail, State.QUEUED, LATER, at=NOW + 1, next_attempt_at=NOW + 3600))
        await home.queue.begin_outage(home.acme, 1)  # said again after a restart
        assert await home.due() == []


async def test_the_breakers_hold_is_released_or_turned_into_failures(tmp_path: Path) -> None:
    """Only what is held for that reason goes back to queued, or becomes failed."""
    async with house(tmp_path) as home:
        await home.accept(*(f"u{n}@acme.example" for n in range(1200)))
        (message,) = await home.due()
        every = outcomes([message], State.HELD, NO, reason=Reason.BREAKER)
        await home.queue.record(every[:1100])
        await home.queue.record(outcomes([message], State.HELD, NO, reason=Reason.FAILED)[1100:1150])
        assert await home.queue.release(home.acme, Reason.OPERATOR) == 0
        assert await home.queue.release(home.acme, Reason.BREAKER) == 1100
        assert (home.ledger().queued, home.ledger().held) == (1150, 50)
        again = [dataclasses.replace(outcome, at=NOW + 1) for outcome in every[:1100]]
        await home.queue.record(again)
        assert await home.queue.convert(home.acme, Reason.BREAKER, Reason.FAILED) == 1100
        assert await home.queue.release(home.acme, Reason.BREAKER) == 0
        assert await home.queue.release(home.acme, Reason.FAILED) == 1150
        assert home.problems() == []


async def test_what_has_waited_too_long_is_found_and_expires(tmp_path: Path) -> None:
    """Past its domain's lifetime a recipient is overdue, and expires when that is decided; the others stay queued."""
    async with house(tmp_path) as home:
        with home.db.write() as connection:
            store.set_domain(connection, "acme.test", lifetime=int(DAY))
        for age in (20, 10, 2, 0):
            await home.accept("u@acme.example", "u@acme.test", received_at=NOW - age * DAY)
        assert await home.queue.expiring(home.acme, NOW) == 4
        assert await home.queue.expiring(home.acme, NOW + DAY) == 5
        for case in await home.overdue():
            assert await home.queue.failures.settle(settlement(case, State.EXPIRED, expired=True), NOW)
        assert await home.overdue() == []
        assert (home.ledger().expired, home.ledger("acme.test").expired) == (1, 3)
        assert (home.ledger().queued, home.ledger("acme.test").queued) == (3, 1)
        assert home.problems() == []


async def test_a_raised_lifetime_saves_queued_mail(tmp_path: Path) -> None:
    """The lifetime is read when expiry is decided."""
    async with house(tmp_path) as home:
        await home.accept(received_at=NOW - 15 * DAY)
        assert await home.queue.expiring(home.acme, NOW) == 1
        with home.db.write() as connection:
            store.set_domain(connection, "acme.example", lifetime=int(30 * DAY))
        assert await home.overdue() == []


async def test_nothing_expires_on_the_day_after_a_return(tmp_path: Path) -> None:
    """Mail that grew too old during an outage has 24 hours to be handed back."""
    async with house(tmp_path) as home:
        await home.accept(received_at=NOW - 20 * DAY)
        with home.db.write() as connection:
            outage = facts.begin_outage(connection, home.acme, NOW - 21 * DAY, "no connection")
            facts.mark_outage(connection, outage, returned_at=NOW)
        assert await home.overdue(now=NOW + DAY - 1) == []
        assert len(await home.overdue(now=NOW + DAY)) == 1


async def test_held_mail_does_not_expire(tmp_path: Path) -> None:
    """What is held waits for a person, however long."""
    async with house(tmp_path) as home:
        await home.accept(received_at=NOW - 100 * DAY)
        await home.queue.record(outcomes(await home.due(), State.HELD, NO, reason=Reason.BREAKER))
        assert await home.overdue() == []
