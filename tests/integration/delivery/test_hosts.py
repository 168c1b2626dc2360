"""Several hosts of one appliance: equals share, the preferred come first, and one that fails harms no other."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from relay.appliances.model import Primary
from relay.delivery import host
from relay.mail import Reply
from relay.queue.states import State
from tests.integration.delivery.house import House, house
from tests.integration.delivery.test_pressure import names, pace
from tests.support.database import reach_from_everywhere
from tests.support.dns_stub import DnsStub
from tests.support.netns import network
from tests.support.nsd import name_server
from tests.support.primary import HANG, ScriptedPrimary
from tests.support.processes import free_port
from tests.support.waiting import eventually

EQUALS = """\
@ MX 10 one
@ MX 10 two
@ MX 20 third
one A 127.0.25.1
two A 127.0.25.2
third A 127.0.25.3
"""


@asynccontextmanager
async def by_mx(folder: Path, **delivery: object) -> AsyncIterator[tuple[House, list[ScriptedPrimary]]]:
    """A house whose domain has two equal hosts and a third behind them in a real name server. They are on port 25, as
    MX hosts are, and therefore in a network of their own, where nobody else is."""
    reach_from_everywhere(folder)
    async with AsyncExitStack() as stack:
        alone = stack.enter_context(network({"alone": "192.0.2.1"}, resolver="192.0.2.1"))["alone"]
        stack.enter_context(name_server({"acme.example": EQUALS}, host=alone))
        stack.enter_context(alone.inside())
        primaries = [ScriptedPrimary(f"127.0.25.{number}") for number in (1, 2, 3)]
        for primary in primaries:
            await primary.start(25)
            stack.push_async_callback(primary.close)
        home = await stack.enter_async_context(house(folder, resolver=f"{alone.address}:53", **delivery))
        yield home, primaries


async def test_hosts_of_one_preference_share_the_connections(tmp_path: Path) -> None:
    """Two equals get half each, and together no more than the limit; who is behind them gets nothing."""
    async with by_mx(tmp_path, max_connections=6) as (home, (one, two, third)):
        one.delay = two.delay = 0.004
        for _ in range(400):
            await home.accept()
        await home.returns()
        most = 0
        while home.waiting():
            most = max(most, one.open_connections + two.open_connections)
            await asyncio.sleep(0.002)
        assert 4 <= most <= 6
        assert min(len(one.messages), len(two.messages)) > 100
        assert len(one.messages) + len(two.messages) == 400
        assert third.connections == 0


async def test_a_host_that_dies_in_a_drain_leaves_the_other_its_width(tmp_path: Path) -> None:
    """The mail of the one goes to its equal, whose connections aren't fewer for it; and each arrives."""
    async with by_mx(tmp_path, max_connections=4, ramp=False) as (home, (one, two, third)):
        one.delay = two.delay = 0.004
        for number in range(400):
            await home.accept(f"r{number}")
        await home.returns()
        await eventually(lambda: len(one.messages) > 20 and len(two.messages) > 20)
        await one.stop()
        await eventually(lambda: two.open_connections == 4)
        told = pace(home)
        assert told is not None
        assert "one.acme.example:25" in told.why
        assert "two.acme.example" not in told.why
        await eventually(lambda: len(two.messages) > 250)
        home.clock.ahead += 60  # what was in flight at the one
        await eventually(lambda: home.waiting() == 0)
        assert set(names(one) + names(two)) == {f"r{number}" for number in range(400)}
        assert third.connections == 0


async def test_where_all_equals_fail_the_next_preference_takes_over(tmp_path: Path) -> None:
    """Mail waits for no host that is gone as long as any other is there."""
    async with by_mx(tmp_path, max_connections=4) as (home, (one, two, third)):
        await one.stop()
        await two.stop()
        for _ in range(20):
            await home.accept()
        await home.returns()
        await eventually(lambda: home.waiting() == 0)
        assert len(third.messages) == 20


async def test_the_preferred_host_gets_its_mail_back_in_the_middle_of_a_drain(tmp_path: Path) -> None:
    """Fixed primaries are preferred in their order: when the first is back, the connections go over, as it ramps up."""
    async with ScriptedPrimary() as first, ScriptedPrimary() as second:
        await first.stop()
        async with house(tmp_path, first, second, max_connections=4) as home:
            first.delay = second.delay = 0.02
            for _ in range(1500):
                await home.accept()
            await home.returns()
            await eventually(lambda: second.open_connections == 4)
            await first.start()
            await eventually(lambda: first.open_connections == 4 and second.open_connections == 0, timeout=20)
            first.delay = second.delay = 0.0
            await eventually(lambda: home.waiting() == 0)
            assert len(first.messages) + len(second.messages) == 1500


async def test_a_host_that_is_silent_doesn_t_hold_up_the_drain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that accepts connections and says nothing gets a short patience where another takes the mail."""
    monkeypatch.setattr(host, "OPENING", 0.3)
    async with ScriptedPrimary() as first, ScriptedPrimary() as second:
        first.on_banner = HANG
        async with house(tmp_path, first, second, max_connections=2) as home:
            for _ in range(30):
                await home.accept()
            await home.returns()
            await eventually(lambda: home.waiting() == 0)
            assert len(second.messages) == 30


async def test_a_host_that_falls_silent_in_the_middle_holds_up_its_own_messages_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections that wait for its answers don't count, so that the next host gets as many as are allowed."""
    monkeypatch.setattr(host, "SILENT", 0.5)
    async with ScriptedPrimary() as first, ScriptedPrimary() as second:
        first.on_content = HANG
        async with house(tmp_path, first, second, max_connections=2, ramp=False) as home:
            for number in range(40):
                await home.accept(f"r{number}")
            await home.returns()
            await eventually(lambda: len(second.messages) >= 34)  # a connection has three messages under way
            assert second.open_connections <= 2
            first.on_content = None
            await first.drop_connections()
            home.clock.ahead += 60
            await eventually(lambda: home.waiting() == 0)


async def test_a_lone_host_that_is_slow_to_greet_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no other host, patience is that of the SMTP client."""
    monkeypatch.setattr(host, "OPENING", 0.3)

    async def dawdle() -> None:
        await asyncio.sleep(2.5)

    async with ScriptedPrimary() as primary, house(tmp_path, primary) as home:
        primary.on_banner = dawdle
        await home.accept()
        await home.returns()
        await eventually(lambda: home.waiting() == 0)
        assert primary.connections == 1


async def test_greylisted_mail_comes_again_to_the_same_host(tmp_path: Path) -> None:
    """Of two equals that greylist each for itself, each sees its own again, by the same name and from the same
    address; that they put it off lowers nothing and isn't held against their health."""
    seen: set[tuple[str, str]] = set()
    async with by_mx(tmp_path, max_connections=4) as (home, (one, two, _)):

        def greylists(primary: ScriptedPrimary, address: str) -> Reply | None:
            if (primary.host, address) in seen:
                return None
            seen.add((primary.host, address))
            return Reply(450, "4.2.0", "Greylisted, come back in 2 minutes")

        one.on_rcpt = lambda address: greylists(one, address)
        two.on_rcpt = lambda address: greylists(two, address)
        for number in range(60):
            await home.accept(f"r{number}")
        await home.returns()
        await eventually(lambda: len(seen) == 60 and {row.attempts for row in home.rows(State.QUEUED)} == {1})
        assert home.evidence.view(home.appliance.id, home.clock.now()).deferred == 0
        waits = [(row.next_attempt_at or 0.0) - home.clock.now() for row in home.rows(State.QUEUED)]
        assert all(110 < seconds <= 121 * 1.2 for seconds in waits)
        home.clock.ahead += 150
        await eventually(lambda: home.waiting() == 0)
        assert len(seen) == 60  # nobody was a stranger anywhere twice
        assert one.messages
        assert two.messages
        assert {taken.helo for taken in one.messages + two.messages} == {"relay.test"}


@contextmanager
def black_hole(address: str) -> Iterator[int]:
    """A port at which connections are neither taken nor refused: its queue is full, so that SYNs are dropped."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as listener:
        listener.bind((address, 0))
        listener.listen(0)
        where = listener.getsockname()[:2]
        crowd = [socket.socket(family) for _ in range(4)]
        try:
            for each in crowd:
                each.setblocking(False)
                each.connect_ex(where)
            yield where[1]
        finally:
            for each in crowd:
                each.close()


@pytest.mark.parametrize(("dead", "alive"), [("127.0.25.4", "::1"), ("::1", "127.0.25.4")])
async def test_a_black_holed_family_costs_a_moment_once(tmp_path: Path, dead: str, alive: str) -> None:
    """With A and AAAA in the DNS, and one of them dead, mail goes by the other, which then is tried first."""
    with black_hole(dead) as port:
        records = {"mail.acme.example A": ["127.0.25.4"], "mail.acme.example AAAA": ["::1"]}
        async with DnsStub(records) as stub:
            primary = ScriptedPrimary(alive)
            await primary.start(port)
            try:
                where = Primary("mail.acme.example", port)
                async with house(tmp_path, where, resolver=stub.address, max_connections=4, ramp=False) as home:
                    for _ in range(40):
                        await home.accept()
                    await home.returns()
                    await eventually(lambda: home.waiting() == 0, timeout=5)
                    assert len(primary.messages) == 40
            finally:
                await primary.close()


async def test_the_address_that_worked_is_tried_first(tmp_path: Path) -> None:
    """What one connection has found out the next ones needn't, of the next drain neither: they come from where the
    first one came from, too."""
    port = free_port()
    ours, other = ScriptedPrimary("::1"), ScriptedPrimary("127.0.25.4")
    records = {"mail.acme.example A": [other.host], "mail.acme.example AAAA": [ours.host]}
    async with AsyncExitStack() as stack:
        stub = await stack.enter_async_context(DnsStub(records))
        for primary in (ours, other):
            await primary.start(port)
            stack.push_async_callback(primary.close)
        await other.stop()
        where = Primary("mail.acme.example", port)
        home = await stack.enter_async_context(house(tmp_path, where, resolver=stub.address))
        await home.accept()
        await home.returns()
        await eventually(lambda: ours.messages)
        await other.start()
        await eventually(lambda: home.delivery.progress(home.appliance.id) is None)
        for _ in range(20):
            await home.accept()
        await eventually(lambda: home.waiting() == 0)
        assert (len(ours.messages), other.connections) == (21, 0)
