"""Which node works for an appliance: never two, soon one again when a node is gone."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from relay.appliances import store
from relay.clock import Clock
from relay.cluster.lease import OUTBOX
from relay.cluster.nodes import nodes, owner_names
from relay.cluster.observer import Timing
from relay.cluster.orders import drain
from relay.cluster.secret import secret
from relay.db import Database
from relay.errors import StartFailed
from tests.integration.cluster.nodes import QUICK, Running, add_appliances, running
from tests.support.database import make_database
from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("engine")

VICTIM = """
import asyncio, sys
from pathlib import Path
from relay import log
from tests.integration.cluster.nodes import running
async def main():
    said = None
    async with running(sys.argv[1], "victim", folder=Path(sys.argv[2])) as one:
        while True:
            if (owned := len(one.owned(list(range(1, 21))))) != said:
                said = owned
                print("owns", said, flush=True)
            await asyncio.sleep(0.01)
log.configure()
asyncio.run(main())
"""


def _victim(db: Database, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", VICTIM, db.url, folder], stdout=subprocess.PIPE, text=True)


async def test_a_node_owns_what_nobody_owns(tmp_path: Path) -> None:
    """Everything is owned after the start, what is added later soon after, and what is removed no more."""
    with_db = make_database(tmp_path)
    numbers = add_appliances(with_db, 3)
    async with running(with_db.url, "one") as one:
        assert one.owned(numbers) == set(numbers)
        assert one.node.owns(0), "the relay's own postmaster mail needs an owner too"
        late = add_appliances(with_db, 1, first=3)
        await eventually(lambda: one.owned(late))
        with with_db.write() as connection:
            store.remove_appliance(connection, "appliance0")
        await eventually(lambda: not one.node.owns(numbers[0]))
        with with_db.read() as connection:
            assert owner_names(connection) == dict.fromkeys([0, *numbers[1:], *late], "one")
            assert [(row.name, row.listeners, row.state(time.time())) for row in nodes(connection)] == [
                ("one", ("127.0.0.1:25",), "live")
            ]
    with with_db.read() as connection:
        assert owner_names(connection) == {}
        assert [row.state(time.time()) for row in nodes(connection)] == ["stopped"]
    with_db.close()


async def test_two_live_nodes_never_own_one_appliance(tmp_path: Path) -> None:
    """A second node finds nothing to take while the first lives, and takes all at once when that stops cleanly."""
    db = make_database(tmp_path)
    numbers = add_appliances(db, 20)
    async with running(db.url, "two") as two:
        async with running(db.url, "one") as one:
            assert two.owned(numbers) == set(numbers)
            numbers += add_appliances(db, 20, first=20)
            deadline = time.monotonic() + 2 * QUICK.dead_after
            while time.monotonic() < deadline:
                assert not one.owned(numbers) & two.owned(numbers)
                await asyncio.sleep(0.01)
            assert one.owned(numbers) | two.owned(numbers) == set(numbers)
        await eventually(lambda: two.owned(numbers) == set(numbers))
    db.close()


async def test_a_killed_node_is_replaced(tmp_path: Path) -> None:
    """kill -9: another node takes over once the lease has run out, not before, in a new epoch."""
    db = make_database(tmp_path)
    numbers = add_appliances(db, 20)
    victim = _victim(db, tmp_path)
    try:
        assert victim.stdout is not None
        assert await asyncio.to_thread(victim.stdout.readline) == "owns 20\n"
        async with running(db.url, "heir") as heir:
            assert heir.owned(numbers) == set()
            killed_at = time.monotonic()
            victim.kill()
            await eventually(lambda: heir.owned(numbers) == set(numbers))
            assert time.monotonic() - killed_at > QUICK.dead_after - 2 * QUICK.renew
            with db.read() as connection:
                assert {row.name: row.stopped_at for row in nodes(connection)} == {"heir": None, "victim": None}
    finally:
        victim.kill()
        victim.communicate()
        db.close()


async def test_a_node_that_was_stopped_does_not_go_on_as_before(tmp_path: Path) -> None:
    """A process that hangs for a while has lost what it owned, and knows it before it begins anything."""
    db = make_database(tmp_path)
    numbers = add_appliances(db, 20)
    with subprocess.Popen(
        [sys.executable, "-c", VICTIM, db.url, tmp_path], stdout=subprocess.PIPE, text=True
    ) as victim:
        assert victim.stdout is not None
        try:
            assert await asyncio.to_thread(victim.stdout.readline) == "owns 20\n"
            victim.send_signal(signal.SIGSTOP)
            with db.write() as connection:
                drain(connection, "victim", 1.0)  # so that nothing is spread over it again
            async with running(db.url, "heir") as heir:
                await eventually(lambda: heir.owned(numbers) == set(numbers))
                victim.send_signal(signal.SIGCONT)
                assert await asyncio.to_thread(victim.stdout.readline) == "owns 0\n"
                assert heir.owned(numbers) == set(numbers)
        finally:
            victim.kill()
    db.close()


async def test_a_restart_takes_its_own_over_at_once(tmp_path: Path) -> None:
    """A node that was killed and starts again under its name needn't wait for its own lease to run out."""
    db = make_database(tmp_path)
    numbers = add_appliances(db, 20)
    with subprocess.Popen(
        [sys.executable, "-c", VICTIM, db.url, tmp_path], stdout=subprocess.PIPE, text=True
    ) as victim:
        assert victim.stdout is not None
        assert await asyncio.to_thread(victim.stdout.readline) == "owns 20\n"
        victim.kill()
    again = Running(db.url, "victim", folder=tmp_path)
    await again.node.start()
    assert again.owned(numbers) == set(numbers)
    with db.write() as connection:
        assert again.node.holds(connection, numbers[0])
    await again.node.close()
    assert again.owned(numbers) == set()
    again.db.close()
    db.close()


async def test_a_name_runs_once(tmp_path: Path) -> None:
    """A second start under the same name is refused in one line that says which process it is."""
    db = make_database(tmp_path)
    async with running(db.url, "one") as one:
        numbers = add_appliances(db, 1)
        await eventually(lambda: one.owned(numbers))
        second = Running(db.url, "one")
        with pytest.raises(StartFailed, match=r"^node one is already running \(pid \d+\)$"):
            await second.node.start()
        second.db.close()
        assert one.owned(numbers) == set(numbers)
    async with running(db.url, "one") as again:
        assert again.owned(numbers) == set(numbers)
    db.close()


async def test_a_node_that_cannot_renew_begins_nothing(tmp_path: Path, engine: str) -> None:
    """While somebody holds the database for too long a node owns nothing, and goes on by itself afterwards."""
    db = make_database(tmp_path)
    numbers = add_appliances(db, 1)
    async with running(db.url, "one") as one:
        assert one.owned(numbers) == set(numbers)
        version = one.directory.snapshot.version
        with db.write() as connection:
            if engine == "postgresql":  # where leases don't wait for what others write
                connection.exec_driver_sql("LOCK TABLE nodes")
            await eventually(lambda: not one.owned(numbers))
        await eventually(lambda: one.owned(numbers))
        await eventually(lambda: one.directory.snapshot.version > version)
    db.close()


async def test_the_fence_knows_what_memory_does_not(tmp_path: Path) -> None:
    """An owner that was robbed without noticing is stopped inside the transaction that decides."""
    db = make_database(tmp_path)
    numbers = add_appliances(db, 1)
    one = Running(db.url, "one")
    await one.node.start()
    with db.write() as connection:
        assert one.node.holds(connection, numbers[0])
        connection.exec_driver_sql("UPDATE owners SET node = 'two', epoch = epoch + 1")
        assert not one.node.holds(connection, numbers[0])
    await one.node.close()
    with db.read() as connection:
        assert owner_names(connection)[numbers[0]] == "two", "what isn't ours any more isn't released"
    one.db.close()
    db.close()


async def test_a_node_whose_name_was_taken_ends(tmp_path: Path) -> None:
    """Two machines under one name on one database: the older one stops working, and says why."""
    db = make_database(tmp_path)
    async with running(db.url, "one") as one:
        with db.write() as connection:
            connection.exec_driver_sql("UPDATE nodes SET instance = 'somebody else'")
        with pytest.raises(Exception, match="another process runs as node one"):
            await asyncio.wait_for(one.node.run(), 20)
        assert not one.node.owns(0)
    with db.read() as connection:
        assert owner_names(connection) == {0: "one"}, "it is the other one's now, and not ours to release"
    db.close()


async def test_a_new_appliance_does_not_wait_for_the_next_renewal(tmp_path: Path) -> None:
    """What an operator adds is claimed as soon as the directory knows it."""
    db = make_database(tmp_path)
    async with running(db.url, "one", timing=Timing(renew=300.0, dead_after=1000.0)) as one:
        before = one.directory.snapshot.version
        numbers = add_appliances(db, 1)
        await eventually(lambda: one.owned(numbers))
        await eventually(lambda: one.directory.snapshot.version == before + 2)  # those who found it unowned look again
    db.close()


async def test_a_start_after_the_clock_was_set_puts_off_what_cannot_be_undone(tmp_path: Path) -> None:
    """A wall clock behind the last heartbeat is doubted for an hour, which a restart doesn't cut short."""
    db = make_database(tmp_path)
    now = [1_000_000.0]
    wrong = Clock(wall=lambda: now[0], monotonic=lambda: 0.0)
    right = Clock(wall=lambda: 2_000_000.0, monotonic=lambda: 0.0)
    async with running(db.url, "one", right) as one:
        assert not one.node.settling(2_000_000.0)
    async with running(db.url, "one", wrong) as one:
        assert one.node.settling(1_003_599.0)
        assert not one.node.settling(1_003_600.0)
    now[0] += 600
    async with running(db.url, "one", Clock(wall=lambda: now[0], monotonic=lambda: 0.0)) as one:
        assert one.node.settling(1_003_599.0)
        with db.read() as connection:
            assert nodes(connection)[0].settles_at == 1_003_600.0
    db.close()


async def test_what_a_node_says_of_itself_is_in_its_row(tmp_path: Path) -> None:
    """Its listeners and its doubt about its own network are there for everybody to see."""
    db = make_database(tmp_path)

    def row() -> tuple[tuple[str, ...], str]:
        with db.read() as connection:
            found = nodes(connection)[0]
        return found.listeners, found.isolated

    async with running(db.url, "one") as one:
        one.node.announce(["127.0.0.1:2525"])
        one.node.isolated("3 of 3 primaries fail together")
        await eventually(lambda: row() == (("127.0.0.1:2525",), "3 of 3 primaries fail together"))
        one.node.isolated("")
        await eventually(lambda: row()[1] == "")
    db.close()


def test_the_cluster_has_a_secret(tmp_path: Path) -> None:
    """32 random bytes, the same for all nodes and different for each database."""
    (tmp_path / "other").mkdir()
    db, other = make_database(tmp_path), make_database(tmp_path / "other")
    with db.read() as connection, other.read() as elsewhere:
        assert len(secret(connection)) == 32
        assert secret(connection) == secret(connection) != secret(elsewhere)
    db.close()
    other.close()


async def test_the_outbox_is_one_nodes_and_then_the_others(tmp_path: Path) -> None:
    """Of two nodes one tells the helpdesk; when it stops, the other does."""
    db = make_database(tmp_path)
    async with running(db.url, "two") as two, running(db.url, "one") as one:
        assert two.node.owns(OUTBOX)
        assert not one.node.owns(OUTBOX)
        await two.node.close()
        await eventually(lambda: one.node.owns(OUTBOX))
        assert not two.node.owns(OUTBOX)
    db.close()
