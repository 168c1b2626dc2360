"""A flood for one tenant leaves another's mail alone; who has to wait isn't forgotten meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from relay.edge import shares
from relay.edge.shares import EACH
from tests.integration.edge.house import House, house
from tests.integration.edge.test_time import Wristwatch
from tests.support.waiting import eventually


class Crowded:
    """A house that gets mail for two domains at the same time, and all that may go on for gold.example does."""

    def __init__(self, home: House) -> None:
        self.home = home
        self.shares = home.edge._shared.shares
        for name in ("gold.example", "quiet.example"):
            self.shares.seen(name)
        self.going = [self.shares.ask(["gold.example"], 0) for _ in range(EACH)]

    def go_on(self) -> None:
        """What went on is done."""
        for turn in self.going:
            turn.end()

    async def waiting(self, count: int = 1) -> None:
        """Until so many wait."""
        await eventually(lambda: sum(map(len, self.shares._waiting.values())) == count)

    def at_rest(self) -> bool:
        """Whether nobody has a turn or waits for one."""
        return not self.shares._storing and not self.shares._waiting and not self.shares._total


@asynccontextmanager
async def crowded(folder: Path, watch: Wristwatch | None = None, **smtp: object) -> AsyncIterator[Crowded]:
    stopped = (watch or Wristwatch()).clock
    async with house(folder, clock=stopped, **smtp) as home:
        await home.add_domain("quiet.example")
        yield Crowded(home)


async def test_a_message_waits_while_another_tenants_passes(tmp_path: Path) -> None:
    """In the order in which they came; each has its own 250 in the end."""
    async with (
        crowded(tmp_path) as it,
        it.home.client() as first,
        it.home.client() as second,
        it.home.client() as other,
    ):
        for client, text in ((first, b"first\r\n.\r\n"), (second, b"second\r\n.\r\n")):
            await client.begin()
            await client.send(text)
            await it.waiting(1 if client is first else 2)
        assert (await other.mail(b"quiet", recipient="a@quiet.example")).startswith("250 2.0.0")
        assert await it.home.stored() == []
        it.go_on()
        assert (await first.reply()).startswith("250 2.0.0")
        assert (await second.reply()).startswith("250 2.0.0")
        assert {one.content for one in await it.home.stored()} == {b"first\r\n", b"second\r\n"}
        assert it.at_rest()


@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
async def test_who_hangs_up_while_waiting_has_not_sent(reset: bool, tmp_path: Path) -> None:
    """Nobody was told 250, so the message comes again: it isn't stored twice. Those behind it go on."""
    async with crowded(tmp_path) as it:
        async with it.home.client() as client:
            await client.begin()
            await client.send(b"x\r\n.\r\n")
            await it.waiting()
            client.writer.transport.abort() if reset else client.writer.close()
            await eventually(lambda: it.home.edge.sessions == 0)
        it.go_on()
        assert it.at_rest()
        assert await it.home.stored() == []
        assert it.home.edge.bytes_in_flight == 0


async def test_who_said_all_at_once_is_answered_after_the_wait(tmp_path: Path) -> None:
    """A client that has closed its side behind QUIT is still there for the replies."""
    async with crowded(tmp_path) as it, it.home.client() as client:
        await client.begin()
        await client.send(b"x\r\n.\r\nQUIT\r\n")
        client.writer.write_eof()
        await it.waiting()
        it.go_on()
        assert (await client.reply()).startswith("250 2.0.0")
        assert (await client.reply()).startswith("221 ")
        assert len(await it.home.stored()) == 1


async def test_a_stop_ends_the_wait(tmp_path: Path) -> None:
    """421, and the sender keeps the message."""
    async with crowded(tmp_path) as it, it.home.client() as client:
        await client.begin()
        await client.send(b"x\r\n.\r\n")
        await it.waiting()
        await it.home.edge.close(60.0)
        assert (await client.reply()).startswith("421 4.3.2")
        assert await client.ended()
        it.go_on()
        assert it.at_rest()
        assert await it.home.stored() == []


async def test_time_goes_on_for_who_waits(tmp_path: Path) -> None:
    """A session has its time-out there as everywhere."""
    watch = Wristwatch()
    async with crowded(tmp_path, watch, timeout=0.5) as it, it.home.client() as client:
        await client.begin()
        await client.send(b"x\r\n.\r\n")
        await it.waiting()
        watch.seconds += 0.6
        assert (await client.reply()).startswith("421 4.4.2")
        assert await it.home.stored() == []


async def test_a_wait_that_takes_too_long_is_a_deferral(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The session goes on with what was sent behind the message."""
    monkeypatch.setattr(shares, "LONGEST", 0.05)
    async with crowded(tmp_path) as it, it.home.client() as client:
        await client.begin()
        await client.send(b"x\r\n.\r\nNOOP\r\n")
        assert (await client.reply()).startswith("451 4.4.5")
        assert (await client.reply()).startswith("250 ")
        assert await it.home.stored() == []
        it.go_on()
        assert (await client.mail(b"again")).startswith("250 ")


async def test_too_many_that_wait_are_refused_at_rcpt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before they send their content; the other tenant's aren't."""
    monkeypatch.setattr(shares, "MOST_WAITING", 1)
    async with crowded(tmp_path) as it, it.home.client() as waits, it.home.client() as client:
        await waits.begin()
        await waits.send(b"x\r\n.\r\n")
        await it.waiting()
        await client.ask("MAIL FROM:<a@b.example>")
        assert (await client.ask("RCPT TO:<a@gold.example>")).startswith("451 4.4.5")
        assert (await client.ask("RCPT TO:<a@quiet.example>")).startswith("250 ")
        it.go_on()
        assert (await waits.reply()).startswith("250 ")


async def test_large_messages_take_their_turn_piece_by_piece(tmp_path: Path) -> None:
    """They don't have the writer to themselves either, and arrive whole."""
    async with crowded(tmp_path) as it, it.home.client() as client, it.home.client() as other:
        await client.begin()
        await client.send(b"x" * 3_000_000 + b"\r\n.\r\n")
        await it.waiting()
        assert (await other.mail(b"quiet", recipient="a@quiet.example")).startswith("250 2.0.0")
        it.go_on()
        assert (await client.reply()).startswith("250 2.0.0")
        (stored,) = await it.home.stored()
        assert stored.row.size == 3_000_002
        assert it.at_rest()


async def test_a_flood_leaves_some_memory_for_others(tmp_path: Path) -> None:
    """However many large messages come for one tenant at once: past its share they are deferred, another's isn't."""
    async with house(tmp_path, memory=4 * 1024**2) as relay:
        await relay.add_domain("quiet.example")
        async with AsyncExitStack() as stack:
            last, other, *clients = [await stack.enter_async_context(relay.client()) for _ in range(6)]
            for client in clients:
                await client.begin()
                await client.send(b"x" * 900_000)
            await eventually(lambda: relay.edge.bytes_in_flight == 3_600_000)
            assert (await last.mail(b"x" * 200_000)).startswith("452 4.3.1")
            assert (await other.mail(b"x" * 200_000, recipient="a@quiet.example")).startswith("250 ")
            for client in clients:
                assert (await client.ask(b"\r\n.\r\n")).startswith("250 ")
            assert (await last.mail(b"x" * 200_000)).startswith("250 ")
        assert relay.edge.bytes_in_flight == 0
        assert not relay.edge._shared.memory._held


async def test_settings_that_are_reread_switch_shares_off(tmp_path: Path) -> None:
    """Whoever waits goes on with the next turn that ends."""
    async with crowded(tmp_path) as it, it.home.client() as client:
        await client.begin()
        await client.send(b"x\r\n.\r\n")
        await it.waiting()
        it.home.edge.reconfigure(it.home.settings.smtp.model_copy(update={"fair_shares": False}))
        it.going[0].end()
        assert (await client.reply()).startswith("250 2.0.0")
