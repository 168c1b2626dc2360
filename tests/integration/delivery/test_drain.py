"""Mail is handed back to a primary that returned: all of it, once, unchanged."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from relay.appliances.facts import Health
from relay.delivery import supervisor
from relay.mail import Reply
from relay.queue.queue import Queue
from relay.queue.states import State
from tests.integration.delivery.house import RECEIVED, house
from tests.support.primary import HANG, ScriptedPrimary, Taken
from tests.support.waiting import eventually


async def test_everything_arrives_once_and_unchanged(tmp_path: Path) -> None:
    """What was accepted arrives once each, byte for byte below our Received line."""
    contents = [b"Subject: %d\r\n\r\n.dot\r\n..dots\r\n\xff\xfe %s\r\n" % (n, b"x" * n) for n in range(300)]
    async with ScriptedPrimary() as primary, house(tmp_path, primary) as home:
        for content in contents:
            await home.accept(content=content)
        await home.returns()
        await eventually(lambda: home.waiting() == 0)
        assert sorted(taken.content for taken in primary.messages) == sorted(RECEIVED + each for each in contents)
        assert primary.violations == []


async def test_a_large_message_is_handed_over_in_pieces(tmp_path: Path) -> None:
    """A message of several megabytes that don't compress arrives unchanged."""
    letter = b"\r\n".join([b"Subject: large", b"", *(os.urandom(40).hex().encode() for _ in range(40_000)), b""])
    async with ScriptedPrimary() as primary, house(tmp_path, primary) as home:
        await home.accept(content=letter)
        await home.accept()
        await home.returns()
        await eventually(lambda: home.waiting() == 0)
        assert RECEIVED + letter in [taken.content for taken in primary.messages]


async def test_nothing_goes_out_while_the_primary_is_out_of_reach(tmp_path: Path) -> None:
    """Mail that is accepted while health says down waits, without a connection."""
    async with ScriptedPrimary() as primary, house(tmp_path, primary) as home:
        await home.accept()
        await asyncio.sleep(0.3)
        assert primary.connections == 0
        assert home.waiting() == 1


async def test_that_no_mail_waits_is_known_though_nothing_is_drained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever takes an appliance over, or starts again, knows within seconds of its reach that its queue is empty."""
    monkeypatch.setattr(supervisor, "UNCOUNTED", 0.1)
    async with ScriptedPrimary() as primary, house(tmp_path, primary) as home:
        assert not home.evidence.view(home.appliance.id, home.clock.now()).looked
        await home.up()
        await eventually(lambda: home.evidence.view(home.appliance.id, home.clock.now()).looked)
        assert home.evidence.view(home.appliance.id, home.clock.now()).oldest_since is None
        assert primary.connections == 0


async def test_mail_of_a_node_that_died_before_it_could_tell_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another node has committed and never told of goes out all the same, without waiting for anything else."""
    monkeypatch.setattr(supervisor, "UNCOUNTED", 0.0)
    monkeypatch.setattr(supervisor, "UNTOLD", 0.5)
    async with ScriptedPrimary() as primary, house(tmp_path, primary) as home:
        await home.returns()
        await home.accept()
        await eventually(lambda: primary.messages and home.delivery.progress(home.appliance.id) is None)
        silent = Queue(home.db, home.clock, "other", on_accept=lambda appliance_ids: None)
        await silent.start()
        ours, home.queue = home.queue, silent
        await home.accept()
        home.queue = ours
        await silent.close()
        await eventually(lambda: len(primary.messages) == 2)


async def test_the_first_message_follows_the_first_answer_at_once(tmp_path: Path) -> None:
    """From the pulse to the message at the primary it takes a moment, not a poll."""
    arrived: list[float] = []

    def note(taken: Taken) -> None:
        arrived.append(asyncio.get_running_loop().time())

    async with ScriptedPrimary() as primary, house(tmp_path, primary) as home:
        primary.on_content = note
        await home.accept()
        began = asyncio.get_running_loop().time()
        home.canary()
        await eventually(lambda: arrived, every=0.001)
        assert arrived[0] - began < 0.5  # some ten milliseconds, on a machine that isn't busy


async def test_the_canary_is_alone_until_it_is_answered(tmp_path: Path) -> None:
    """While the primary thinks about the first message not one octet of another is sent, though probes say up."""
    answer = asyncio.Event()
    after_the_dot = b""
    sessions = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal after_the_dot, sessions
        sessions += 1
        writer.write(b"220 primary.test\r\n")
        await reader.readline()
        writer.write(b"250-primary.test\r\n250 PIPELINING\r\n")
        for _ in range(3):
            await reader.readline()
        writer.write(b"250 Ok\r\n250 Ok\r\n354 Go ahead\r\n")
        await reader.readuntil(b"\r\n.\r\n")
        thinking = asyncio.create_task(answer.wait())
        hearing = asyncio.create_task(reader.read(1000))
        await asyncio.wait((thinking, hearing), return_when=asyncio.FIRST_COMPLETED)
        after_the_dot = hearing.result() if hearing.done() else b""
        hearing.cancel()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server, ScriptedPrimary() as primary:
        primary.port = server.sockets[0].getsockname()[1]
        async with house(tmp_path, primary) as home:
            for _ in range(30):
                await home.accept()
            home.canary()
            await eventually(lambda: sessions)
            await home.up()
            await home.accept()
            await asyncio.sleep(1)
            assert after_the_dot == b""
            assert sessions == 1
            answer.set()
            await eventually(lambda: sessions > 1)  # the canary was cut off: the next one


async def test_a_canary_that_is_refused_is_followed_by_another(tmp_path: Path) -> None:
    """Until one is taken, or probes say that the primary is up, messages go one at a time."""
    async with ScriptedPrimary() as primary, house(tmp_path, primary) as home:
        primary.on_rcpt = lambda address: None if address.startswith("good") else Reply(450, "4.2.1", "Greylisted")
        for number in range(8):
            await home.accept(f"r{number}")
        for number in range(20):
            await home.accept(f"good{number}")
        home.canary()
        await eventually(lambda: len(primary.messages) == 20)
        greylisted = [command for command in primary.commands if command.startswith("RCPT TO:<r")]
        assert len(greylisted) == 8
        await eventually(lambda: home.addresses(State.QUEUED) == [f"r{number}" for number in range(8)])


async def test_a_backlog_is_drained_over_several_connections(tmp_path: Path) -> None:
    """The ramp opens more connections while all goes well, and no more than the limit."""
    most = 0

    async def slowly(taken: Taken) -> None:
        nonlocal most
        most = max(most, primary.open_connections)
        await asyncio.sleep(0.005)

    async with ScriptedPrimary() as primary, house(tmp_path, primary, max_connections=6) as home:
        primary.on_content = slowly
        for _ in range(400):
            await home.accept()
        await home.returns()
        await eventually(lambda: home.waiting() == 0)
        assert most == 6
        assert len(primary.messages) == 400


async def test_one_connection_in_four_takes_the_newest_first(tmp_path: Path) -> None:
    """Fresh mail doesn't wait behind a backlog."""
    async with ScriptedPrimary() as primary, house(tmp_path, primary, max_connections=4, ramp=False) as home:
        primary.delay = 0.01
        for number in range(600):
            await home.accept(f"r{number}")
        await home.returns()
        await eventually(lambda: len(primary.messages) >= 100)
        fresh = await home.accept("fresh")
        assert fresh == 601
        await eventually(lambda: any(taken.recipients == ("fresh@acme.example",) for taken in primary.messages))
        assert home.waiting() > 50
        await eventually(lambda: home.waiting() == 0)
        names = [taken.recipients for taken in primary.messages]
        assert len(names) == len(set(names)) == 601


async def test_mail_that_comes_while_the_primary_is_up_goes_on_at_once(tmp_path: Path) -> None:
    """What is accepted is delivered within moments, all of it over one connection, which is closed in the end."""
    async with ScriptedPrimary() as primary, house(tmp_path, primary, health=Health.UP) as home:
        await home.up()
        for number in range(1, 4):
            await home.accept()
            await eventually(lambda: len(primary.messages) == number, timeout=5)  # noqa: B023
        assert primary.connections == 1
        await eventually(lambda: primary.commands[-1] == "QUIT", timeout=15)
        await home.accept()
        await eventually(lambda: len(primary.messages) == 4)


async def test_progress_is_told_while_a_drain_goes_on(tmp_path: Path) -> None:
    """Tried and left add up to what waited; afterwards there is nothing to tell."""
    async with ScriptedPrimary() as primary, house(tmp_path, primary, max_connections=1) as home:
        for _ in range(30):
            await home.accept()
        primary.on_content = lambda taken: HANG if len(primary.messages) == 10 else None
        await home.returns()
        await eventually(lambda: len(primary.messages) >= 10)
        progress = await eventually(
            lambda: (p := home.delivery.progress(home.appliance.id)) is not None and p.tried >= 10 and p
        )
        assert progress
        assert progress.tried + progress.left == 30
        assert progress.rate > 0
        primary.on_content = None
        await primary.drop_connections()
        await eventually(lambda: len(primary.messages) >= 30)
        home.clock.ahead += 60
        await eventually(lambda: home.waiting() == 0)
        await eventually(lambda: home.delivery.progress(home.appliance.id) is None)


async def test_a_stop_in_the_middle_loses_nothing(tmp_path: Path) -> None:
    """close() finishes what is in flight; the next start sends the rest, and nothing twice."""
    async with ScriptedPrimary() as primary, house(tmp_path, primary) as home:
        primary.delay = 0.005
        for number in range(300):
            await home.accept(f"r{number}")
        await home.returns()
        await eventually(lambda: len(primary.messages) > 50)
        await home.restart_delivery()
        assert 50 < len(primary.messages) < 300
        assert home.waiting() == 300 - len(primary.messages)
        await eventually(lambda: home.waiting() == 0)
        names = [taken.recipients for taken in primary.messages]
        assert len(names) == len(set(names)) == 300


async def test_a_node_that_is_no_longer_the_owner_begins_nothing(tmp_path: Path) -> None:
    """Without the lease no message is begun; with it the drain goes on by itself."""
    async with ScriptedPrimary() as primary, house(tmp_path, primary) as home:
        primary.delay = 0.005
        for _ in range(200):
            await home.accept()
        await home.returns()
        await eventually(lambda: len(primary.messages) > 20)
        home.owned = False
        await eventually(lambda: home.delivery.progress(home.appliance.id) is None)
        there = len(primary.messages)
        await asyncio.sleep(0.3)
        assert len(primary.messages) == there < 200
        home.owned = True
        await eventually(lambda: home.waiting() == 0)
