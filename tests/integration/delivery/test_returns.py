"""The time after a return: what is refused then is provisional, and the breaker stops a drain that goes wrong."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from relay.appliances import facts
from relay.appliances.facts import Health
from relay.delivery import drains
from relay.delivery.breaker import WINDOW
from relay.delivery.drains import FINDING
from relay.mail import Reply
from relay.queue import operators
from relay.queue.filter import Filter
from relay.queue.states import Reason, State
from tests.integration.delivery.house import House, house
from tests.support.primary import ScriptedPrimary
from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("engine")

NOBODY = Reply(550, "5.1.1", "No such user")


async def make_known(home: House, *names: str) -> None:
    """These recipients have been accepted lately."""
    for name in names:
        await home.accept(name)
    await home.returns()
    await eventually(lambda: home.waiting() == 0)
    await home.down()


def finding(home: House) -> str | None:
    """What the ticket will say."""
    with home.db.read() as connection:
        found = facts.list_findings(connection, home.appliance.id)
    return next((each.evidence for each in found if each.condition == FINDING), None)


def taken(primary: ScriptedPrimary) -> list[str]:
    return sorted(address.split("@")[0] for each in primary.messages for address in each.recipients)


async def test_what_is_refused_after_a_return_fails_when_the_window_closes(tmp_path: Path) -> None:
    """For 15 minutes a 5xx is held as breaker; then, the breaker not having tripped, as failed."""
    async with ScriptedPrimary() as primary, house(tmp_path, primary) as home:
        primary.on_rcpt = lambda address: NOBODY if address.startswith("bad") else None
        primary.on_content = lambda letter: Reply(554, "5.6.0", "Virus") if b"virus" in letter.content else None
        for name in ("good1", "bad", "good2"):
            await home.accept(name)
        await home.accept("good3", content=b"Subject: virus\r\n\r\n")
        await home.returns()
        await eventually(lambda: home.addresses(State.HELD, Reason.BREAKER) == ["bad", "good3"])
        assert finding(home) is None
        home.clock.ahead += WINDOW / 2
        await home.restart_delivery()  # the window outlives a restart
        home.clock.ahead += WINDOW / 2
        await eventually(lambda: home.addresses(State.HELD, Reason.FAILED) == ["bad", "good3"])
        await home.accept("bad2")
        await eventually(lambda: "bad2" in home.addresses(State.HELD, Reason.FAILED))


async def test_three_known_recipients_refused_stop_the_drain(tmp_path: Path) -> None:
    """The breaker trips, says whom it tripped for, and leaves the rest of the backlog alone."""
    async with ScriptedPrimary() as primary, house(tmp_path, primary, max_connections=1) as home:
        await make_known(home, "ann", "bob", "eve")
        primary.on_rcpt = lambda address: NOBODY if address.split("@")[0] in ("ann", "Bob", "eve") else None
        for number in range(5):
            await home.accept(f"first{number}")
        for name in ("ann", "Bob", "eve"):
            await home.accept(name)
        await home.returns()
        await eventually(lambda: finding(home))
        assert "ann@acme.example" in (finding(home) or "")
        assert home.addresses(State.HELD, Reason.BREAKER) == ["Bob", "ann", "eve"]
        for number in range(50):
            await home.accept(f"later{number}")
        await asyncio.sleep(1.5)
        assert len(home.addresses(State.QUEUED)) == 50
        home.clock.ahead += 2 * WINDOW  # the window closes, the breaker stays
        await asyncio.sleep(1.5)
        assert home.addresses(State.HELD, Reason.BREAKER) == ["Bob", "ann", "eve"]


async def test_the_drain_goes_on_when_a_known_recipient_is_accepted_again(tmp_path: Path) -> None:
    """One message now and then tries; what was held is queued again and delivered."""
    async with ScriptedPrimary() as primary, house(tmp_path, primary, max_connections=1) as home:
        await make_known(home, "ann", "bob", "eve")
        primary.on_rcpt = NOBODY
        for name in ("ann", "bob", "eve"):
            await home.accept(name)
        await home.returns()
        await eventually(lambda: finding(home))
        primary.on_rcpt = lambda address: NOBODY if address.startswith("stranger") else None
        await home.accept("stranger")  # one by one: which of several is tried first depends on the lane of the newest
        home.clock.ahead += 31
        await eventually(lambda: "stranger" in home.addresses(State.HELD, Reason.BREAKER), timeout=60)
        await home.accept("newcomer")
        home.clock.ahead += 31
        await eventually(lambda: taken(primary).count("newcomer") == 1)
        await home.accept("ann")
        await home.accept("someone")
        await asyncio.sleep(1)  # the newcomer was not known before: the next one has to wait
        assert finding(home) is not None
        assert home.addresses(State.QUEUED) == ["ann", "someone"]
        home.clock.ahead += 31
        await eventually(lambda: home.addresses(State.HELD) == ["stranger"] and not home.addresses(State.QUEUED))
        assert finding(home) is None
        assert taken(primary) == sorted(["ann", "bob", "eve", "ann", "bob", "eve", "newcomer", "ann", "someone"])


async def test_where_no_mail_waits_the_breaker_asks_and_sends_nothing(tmp_path: Path) -> None:
    """All that waited was refused: RCPT alone finds out when the directory is loaded, also after a restart."""
    async with ScriptedPrimary() as primary, house(tmp_path, primary) as home:
        primary.on_rcpt = NOBODY
        for number in range(8):
            await home.accept(f"r{number}")
        await home.returns()
        await eventually(lambda: finding(home) == "the drain is stopped: all 8 recipients are refused")
        assert len(home.addresses(State.HELD, Reason.BREAKER)) == 8
        await home.restart_delivery()
        await eventually(lambda: "MAIL FROM:<>" in primary.commands)
        assert len(home.addresses(State.HELD, Reason.BREAKER)) == 8
        primary.on_rcpt = None
        home.clock.ahead += 31
        await eventually(lambda: home.waiting() == 0)
        assert taken(primary) == [f"r{number}" for number in range(8)]
        assert finding(home) is None


async def test_an_operator_releases_the_breaker_by_releasing_what_it_held(tmp_path: Path) -> None:
    """'queue release --reason breaker' sends the drain on at once."""
    async with ScriptedPrimary() as primary, house(tmp_path, primary) as home:
        primary.on_rcpt = NOBODY
        for number in range(30):
            await home.accept(f"r{number}")
        await home.returns()
        await eventually(lambda: finding(home))
        primary.on_rcpt = None
        wanted = Filter(reason=Reason.BREAKER)

        async def released() -> bool:
            """What was refused before, and is recorded only now, is held again: the operator says it again."""
            await asyncio.to_thread(operators.release, home.db, wanted, home.clock.now(), "operator")
            return home.waiting() == 0

        await eventually(released, every=0.5)
        assert taken(primary) == sorted(f"r{number}" for number in range(30))
        assert finding(home) is None


async def test_four_fifths_refused_stop_the_drain(tmp_path: Path) -> None:
    """With strangers alone it takes twenty recipients, and most of the backlog is spared."""
    async with ScriptedPrimary() as primary, house(tmp_path, primary, max_connections=1) as home:
        primary.on_rcpt = lambda address: None if address.endswith("0@acme.example") else NOBODY
        primary.delay = 0.002
        for number in range(300):
            await home.accept(f"r{number}")
        await home.returns()
        await eventually(lambda: finding(home))
        assert len(home.addresses(State.QUEUED)) > 200


async def test_what_was_said_at_rcpt_is_told_to_those_who_learn_from_it(tmp_path: Path) -> None:
    """But no refusal while it is provisional; what is refused later than RCPT was accepted there."""
    async with ScriptedPrimary() as primary, house(tmp_path, primary) as home:
        primary.on_rcpt = lambda address: NOBODY if address.startswith("bad") else None
        primary.on_content = lambda letter: Reply(554, "5.6.0", "Virus") if b"virus" in letter.content else None
        await home.accept("good1", "bad1")
        await home.accept("good2", content=b"Subject: virus\r\n\r\n")
        await home.returns()
        await eventually(lambda: home.addresses(State.HELD, Reason.BREAKER) == ["bad1", "good2"])
        assert sorted(home.heard) == [("good1", 250), ("good2", 250)]
        home.clock.ahead += WINDOW
        await eventually(lambda: home.addresses(State.HELD, Reason.FAILED) == ["bad1", "good2"])
        await home.accept("bad2")
        await eventually(lambda: home.heard[2:] == [("bad2", 550)])


async def test_a_node_that_starts_anew_knows_what_was_taken_since_the_return(tmp_path: Path) -> None:
    """Refusals after a restart in the window don't stop the drain of a primary that has taken mail before it."""
    async with ScriptedPrimary() as primary, house(tmp_path, primary) as home:
        primary.on_content = lambda letter: Reply(554, "5.6.0", "Virus") if b"virus" in letter.content else None
        await home.accept("good")
        await home.returns()
        await eventually(lambda: taken(primary) == ["good"] and home.waiting() == 0)
        await home.restart_delivery()
        await home.accept("bad", content=b"Subject: virus\r\n\r\n")
        await eventually(lambda: home.addresses(State.HELD, Reason.BREAKER) == ["bad"])
        await asyncio.sleep(1.5)  # the drain judges what it has heard when nothing is left
        assert finding(home) is None
        home.clock.ahead += WINDOW
        await eventually(lambda: home.addresses(State.HELD, Reason.FAILED) == ["bad"])


async def test_the_end_of_a_drain_that_another_node_began_is_judged(tmp_path: Path) -> None:
    """It found nobody who was taken since the return: where all are refused at its end, the drain stops."""
    async with ScriptedPrimary() as primary, house(tmp_path, primary) as home:
        primary.on_rcpt = NOBODY
        await home.db.change(drains.begin, home.appliance.id, home.clock.now())
        await home.set_health(Health.UP)
        await home.accept("somebody")
        await home.up()
        await eventually(lambda: finding(home) == "the drain is stopped: the only recipient is refused")
