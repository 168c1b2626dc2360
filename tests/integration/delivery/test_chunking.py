"""CHUNKING that is offered: used where it works, left where it doesn't, and no message is the worse for it."""

from __future__ import annotations

from pathlib import Path

from relay.appliances.facts import Health
from relay.mail import Reply
from tests.integration.delivery.house import RECEIVED, house
from tests.support.primary import DROP, ScriptedPrimary
from tests.support.waiting import eventually

UNENDED = b"Subject: x\r\n\r\nno line end"


def chunking() -> ScriptedPrimary:
    primary = ScriptedPrimary()
    primary.offers.append("CHUNKING")
    return primary


async def test_a_message_arrives_octet_for_octet(tmp_path: Path) -> None:
    """What came by BDAT without an end of its last line has none at a primary that takes BDAT; large mail streams."""
    large = b"Subject: large\r\n\r\n" + b"y" * 3_000_000
    async with chunking() as primary, house(tmp_path, primary, health=Health.UP, max_connections=1) as home:
        await home.accept("one", content=UNENDED)
        await home.accept("two", content=large)
        await home.up()
        await eventually(lambda: home.waiting() == 0)
        assert [taken.content for taken in primary.messages] == [RECEIVED + UNENDED, RECEIVED + large]
        assert len(primary.messages[1].chunks) > 8
        assert "DATA" not in primary.commands


async def test_a_primary_that_does_not_know_bdat_gets_data(tmp_path: Path) -> None:
    """Mail goes at once by DATA, no attempt is counted, and later connections don't try again."""
    async with chunking() as primary, house(tmp_path, primary, health=Health.UP, max_connections=1) as home:
        primary.on_bdat = Reply(502, "5.5.1", "What?")
        for number in range(5):
            await home.accept(f"r{number}")
        await home.up()
        await eventually(lambda: home.waiting() == 0)
        assert primary.connections == 2
        await eventually(lambda: home.delivery.progress(home.appliance.id) is None)
        await home.accept("later", content=UNENDED)
        await eventually(lambda: home.waiting() == 0)
        assert sum(command.startswith("BDAT") for command in primary.commands) == 1
        names = [taken.recipients[0].partition("@")[0] for taken in primary.messages]
        assert sorted(names[:5]) == [f"r{number}" for number in range(5)] and names[5:] == ["later"]
        assert {taken.chunks for taken in primary.messages} == {()}


async def test_a_primary_that_hangs_up_at_bdat_gets_data(tmp_path: Path) -> None:
    """The message at which it broke is tried again in a moment, by DATA, as everything after it."""
    async with chunking() as primary, house(tmp_path, primary, health=Health.UP, max_connections=1) as home:
        primary.on_bdat = DROP
        for number in range(5):
            await home.accept(f"r{number}")
        await home.up()
        await eventually(lambda: home.waiting() == 1)
        home.clock.ahead += 5
        await eventually(lambda: home.waiting() == 0)
        assert sum(command.startswith("BDAT") for command in primary.commands) == 1
        assert len(primary.messages) == len({taken.recipients for taken in primary.messages}) == 5
