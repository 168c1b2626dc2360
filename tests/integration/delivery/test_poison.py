"""Messages at which this program itself breaks down."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from sqlalchemy import select, update

from relay import events
from relay.appliances.facts import Health
from relay.delivery.poison import InFlight, breakdowns
from relay.errors import StartFailed
from relay.queue.states import Reason, State
from relay.queue.tables import content
from tests.integration.delivery.house import House, house
from tests.support.obstacles import impatient, turn_taken
from tests.support.primary import ScriptedPrimary
from tests.support.processes import need_root
from tests.support.waiting import eventually


def counted(home: House, number: int) -> int:
    """How often the program broke down at a message."""
    with home.db.read() as connection:
        times = connection.execute(select(breakdowns.c.times).where(breakdowns.c.message_id == number)).scalar()
    return times or 0


def damage(home: House, number: int) -> None:
    """On disk."""
    pieces = (content.c.id >= number << 16) & (content.c.id < number + 1 << 16)
    with home.db.write() as connection:
        connection.execute(update(content).where(pieces).values(data=b"\0"))


async def test_a_message_that_cannot_be_read_is_held_and_harms_no_other(tmp_path: Path) -> None:
    """Content that is damaged on disk breaks the sending three times; the message is held, the others go out."""
    async with ScriptedPrimary() as primary, house(tmp_path, primary, health=Health.UP) as home:
        bad = await home.accept("bad", content=b"Subject: bad\r\n\r\n" + 1000 * b"text ")
        for number in range(10):
            await home.accept(f"good{number}")
        damage(home, bad)
        await home.up()
        await eventually(lambda: len(primary.messages) == 10)
        for times in (1, 2):
            await eventually(lambda: home.rows()[0].attempts == times)  # noqa: B023
            home.clock.ahead += 30
        await eventually(lambda: home.addresses(State.HELD, Reason.POISON) == ["bad"])
        assert "broke down" in home.rows()[0].last_reply


async def test_what_was_in_flight_at_three_deaths_is_held(tmp_path: Path) -> None:
    """The numbers found in the file of the dead process count; a message counted three times is not sent any more."""
    async with ScriptedPrimary() as primary, house(tmp_path, primary) as home:
        number = await home.accept("bad")
        await home.accept("good")
        for times in (1, 2, 3):
            await home.delivery.close()
            InFlight(home.db.own_file("test.inflight")).add(number)
            await home.restart_delivery()
            await eventually(lambda: counted(home, number) == times)  # noqa: B023
        await home.returns()
        await eventually(lambda: home.addresses(State.HELD, Reason.POISON) == ["bad"])
        await eventually(lambda: [taken.recipients for taken in primary.messages] == [("good@acme.example",)])


async def test_what_was_delivered_is_recorded_though_a_breakdown_could_not_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While another process holds the database a breakdown can't be booked; nothing delivered beside it goes twice."""
    impatient(monkeypatch)
    async with ScriptedPrimary() as primary, house(tmp_path, primary, health=Health.UP) as home:
        bad = await home.accept("bad", content=b"Subject: bad\r\n\r\n" + 1000 * b"text ")
        for number in range(10):
            await home.accept(f"good{number}")
        damage(home, bad)
        with turn_taken(home.db):
            before = faults()
            await home.up()
            await eventually(lambda: len(primary.messages) == 10 and faults() >= before + 2)
        await eventually(lambda: home.addresses(State.QUEUED) == ["bad"])
        assert len(primary.messages) == 10


def test_a_disk_without_room_refuses_the_start_in_words(tmp_path: Path) -> None:
    """The file that notes what is in flight is never a hole on a full disk, which would kill the node at once."""
    need_root()
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], check=True)
    try:
        (place / "others").write_bytes(bytes(64 * 1024))
        with pytest.raises(StartFailed, match="No space left on device"):
            InFlight(place / "inflight")
    finally:
        subprocess.run(["umount", place], check=True)


def faults() -> float:
    """What went wrong in delivery so far: each breakdown, and each time that one could not be booked."""
    return events.registry.get_sample_value("relay_faults_total", {"where": "delivery"}) or 0.0
