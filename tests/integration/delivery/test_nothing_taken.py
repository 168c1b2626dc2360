"""A primary that comes back and takes nothing at all: its content filter is broken, or its whole set-up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from relay.delivery.breaker import WINDOW
from relay.mail import Reply
from relay.queue import operators
from relay.queue.filter import Filter
from relay.queue.states import Reason, State
from tests.integration.delivery.house import House, house
from tests.integration.delivery.test_returns import finding, taken
from tests.support.primary import ScriptedPrimary
from tests.support.waiting import eventually

NO_FILTER = Reply(554, "5.3.0", "Content filter failed")
SPAM = Reply(554, "5.7.1", "Spam")


async def in_time(home: House, condition: Callable[[], bool]) -> None:
    """While time passes a thousand times as fast."""

    def fast() -> bool:
        home.clock.ahead += 20.0
        return condition()

    await eventually(fast)


async def test_a_filter_that_refuses_everything_stops_the_drain(tmp_path: Path) -> None:
    """Most of the backlog is spared, nothing of it fails, however long that takes, and all comes home in the end."""
    async with ScriptedPrimary() as primary, house(tmp_path, primary, max_connections=1) as home:
        primary.on_content, primary.delay = NO_FILTER, 0.002
        for number in range(200):
            await home.accept(f"r{number}")
        await home.returns()
        await eventually(lambda: finding(home))
        assert "recipients so far are refused, the last with: 554 5.3.0 Content filter failed" in (finding(home) or "")
        held = len(home.addresses(State.HELD, Reason.BREAKER))
        assert 20 <= held < 100
        await home.restart_delivery()  # which tries one
        await eventually(lambda: len(home.addresses(State.HELD, Reason.BREAKER)) > held)
        home.clock.ahead += 2 * WINDOW
        await in_time(home, lambda: len(home.addresses(State.HELD, Reason.BREAKER)) > held + 2)
        assert len(home.addresses(State.QUEUED)) > 100
        assert not home.addresses(State.HELD, Reason.FAILED)
        assert finding(home)
        primary.on_content = None
        await in_time(home, lambda: home.waiting() == 0)
        assert taken(primary) == sorted(f"r{number}" for number in range(200))
        assert finding(home) is None


async def test_where_no_mail_waits_one_that_is_held_is_tried_now_and_then(tmp_path: Path) -> None:
    """Each in its turn, for a filter may have its reasons with one of them; the one that is taken frees the others."""
    async with ScriptedPrimary() as primary, house(tmp_path, primary) as home:
        primary.on_content = NO_FILTER
        for name in ("ann", "bob", "eve"):
            await home.accept(name, content=f"Subject: {name}\r\n\r\n".encode())
        await home.returns()
        await eventually(lambda: finding(home))
        assert home.addresses(State.HELD, Reason.BREAKER) == ["ann", "bob", "eve"]
        primary.on_content = lambda letter: None if b"eve" in letter.content else SPAM
        await in_time(home, lambda: taken(primary) == ["eve"])
        assert [letter.recipients[0].split("@")[0] for letter in primary.refused[3:5]] == ["ann", "bob"]
        await in_time(home, lambda: home.addresses(State.HELD, Reason.FAILED) == ["ann", "bob"])
        assert finding(home) is None


async def test_a_lone_message_on_trial_is_no_operator_s_word(tmp_path: Path) -> None:
    """While the only message that was held is tried again, the ticket doesn't say that all is well."""
    async with ScriptedPrimary() as primary, house(tmp_path, primary) as home:
        primary.on_content = NO_FILTER
        await home.accept("ann")
        await home.returns()
        await eventually(lambda: finding(home))
        before = finding(home)
        assert "its only recipient is refused" in (before or "")
        primary.on_content = Reply(451, "4.3.0", "Not yet")
        await in_time(home, lambda: home.addresses(State.QUEUED) == ["ann"])
        home.wake.notify([home.appliance.id])
        await asyncio.sleep(1.5)
        assert finding(home) == before


async def test_a_filter_that_refuses_spam_alone_leads_to_failures(tmp_path: Path) -> None:
    """One message in many that is taken shows that the primary takes mail: the others have failed with the window."""
    async with ScriptedPrimary() as primary, house(tmp_path, primary, max_connections=1) as home:
        primary.on_content = lambda letter: SPAM if b"spam" in letter.content else None
        await home.accept("friend")
        for number in range(40):
            await home.accept(f"r{number}", content=b"Subject: spam\r\n\r\n")
        await home.returns()
        await eventually(lambda: len(home.addresses(State.HELD, Reason.BREAKER)) == 40)
        assert finding(home) is None
        home.clock.ahead += WINDOW
        await eventually(lambda: len(home.addresses(State.HELD, Reason.FAILED)) == 40)


async def test_what_is_refused_after_hours_of_being_put_off_is_provisional_still(tmp_path: Path) -> None:
    """A window in which nothing was taken, because all was deferred, stays open; also over a restart."""
    async with ScriptedPrimary() as primary, house(tmp_path, primary) as home:
        primary.on_content = Reply(451, "4.3.0", "Loading")
        await home.accept("ann")
        await home.returns()
        await eventually(lambda: [row.attempts for row in home.rows(State.QUEUED)] == [1])
        home.clock.ahead += 2 * WINDOW
        await eventually(lambda: [row.attempts for row in home.rows(State.QUEUED)] == [2])
        await asyncio.sleep(1.1)  # it has been looked at whether the window closes
        await home.restart_delivery()
        primary.on_content = NO_FILTER
        home.clock.ahead += 2 * WINDOW
        await eventually(lambda: finding(home))
        assert home.addresses(State.HELD, Reason.BREAKER) == ["ann"]


async def test_senders_that_are_refused_for_good_are_refusals_too(tmp_path: Path) -> None:
    """At MAIL, the second time, when the first was put off: where nothing is taken, that too is provisional."""
    async with ScriptedPrimary() as primary, house(tmp_path, primary) as home:
        primary.on_mail = Reply(550, "5.7.1", "Not from you")
        await home.accept("ann")
        await home.returns()
        await eventually(lambda: [row.attempts for row in home.rows(State.QUEUED)] == [1])
        home.clock.ahead += 2 * WINDOW
        await eventually(lambda: finding(home))
        assert home.addresses(State.HELD, Reason.BREAKER) == ["ann"]
        primary.on_mail = None
        await in_time(home, lambda: home.waiting() == 0)


@pytest.mark.parametrize("better", [False, True])
async def test_an_operator_has_all_of_it_tried_again(better: bool, tmp_path: Path) -> None:
    """'queue release --reason breaker' tries everything at once; where still nothing is taken the drain stops anew."""
    async with ScriptedPrimary() as primary, house(tmp_path, primary) as home:
        primary.on_content = NO_FILTER
        for number in range(10):
            await home.accept(f"r{number}")
        await home.returns()
        await eventually(lambda: finding(home))
        home.clock.ahead += 2 * WINDOW
        primary.on_content = None if better else SPAM
        wanted = Filter(reason=Reason.BREAKER)
        await asyncio.to_thread(operators.release, home.db, wanted, home.clock.now(), "operator")
        if better:
            await eventually(lambda: home.waiting() == 0)
            assert finding(home) is None
        else:
            await eventually(lambda: "554 5.7.1 Spam" in (finding(home) or ""))
            assert len(home.addresses(State.HELD, Reason.BREAKER)) == 10
