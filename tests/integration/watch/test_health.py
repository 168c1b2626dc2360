"""What becomes of an appliance's health when its primaries do this and that, over real sockets."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from pathlib import Path

import pytest
from sqlalchemy import update

from relay.appliances import facts, store
from relay.appliances.facts import Health
from relay.appliances.model import Primary
from relay.appliances.pulse import Reach
from relay.cluster.lease import register
from relay.cluster.tables import owners
from relay.mail import Reply
from relay.settings import Watch
from relay.watch.prober import TARDY
from relay.watch.watcher import BEAT
from tests.integration.watch.watching import PATIENT, QUICK, answered, watching
from tests.support.dns_stub import DnsStub
from tests.support.obstacles import refused
from tests.support.primary import HANG, ScriptedPrimary
from tests.support.processes import free_port
from tests.support.waiting import eventually

ABOUT = {"hostname": "", "version": "", "listeners": [], "drift": 0.0, "isolated": ""}


async def test_a_primary_that_answers_is_up(tmp_path: Path) -> None:
    """Up with what it offers, its heartbeat fresh, mail may flow, and each probe said EHLO and QUIT."""
    async with watching(tmp_path) as node, ScriptedPrimary() as primary:
        primary.offers = ["PIPELINING", "SIZE 4711", "SMTPUTF8"]
        acme = await node.add("acme", primary)
        await node.becomes(Health.UP, acme)
        fact = node.health(acme)
        assert (fact.offered_size, fact.offered_smtputf8, fact.offered_8bitmime) == (4711, True, False)
        assert fact == node.written(acme)
        assert node.pulse.reach(acme.id) is Reach.YES
        await eventually(lambda: node.pulse.fresh(acme.id, node.clock.monotonic()))
        await eventually(lambda: primary.connections >= 4)
        await primary.stop()
        assert set(primary.commands) == {"EHLO relay.test", "QUIT"}
        assert primary.commands[:6] == ["EHLO relay.test", "QUIT"] * 3


async def test_a_size_beyond_all_bounds_is_no_limit(tmp_path: Path) -> None:
    """Such as 2**64 - 1, which some servers offer: its health is written, and so is that of the others."""
    async with watching(tmp_path) as node, ScriptedPrimary() as primary, ScriptedPrimary() as other:
        primary.offers = [f"SIZE {2**64 - 1}"]
        acme = await node.add("acme", primary)
        await node.becomes(Health.UP, acme)
        assert node.written(acme).offered_size is None
        await node.becomes(Health.UP, await node.add("gold", other))


async def test_down_after_three_refused_connections(tmp_path: Path) -> None:
    """With the settings as they are by default, about four seconds after the first probe, and since that one."""
    async with watching(tmp_path, Watch()) as node:
        began = node.clock.now()
        acme = await node.add("acme", f"127.0.0.1:{free_port()}")
        await node.becomes(Health.DOWN, acme)
        fact = node.written(acme)
        assert 4.0 <= node.clock.now() - began < 8.0
        assert began <= fact.since < began + 3.0
        assert "connection refused" in fact.reason
        assert node.pulse.reach(acme.id) is Reach.NO
        assert not node.pulse.fresh(acme.id, node.clock.monotonic())


async def test_the_first_success_sends_the_canary(tmp_path: Path) -> None:
    """A primary that returns is reached with the first probe it answers, within two seconds, and up with the second."""
    settings = Watch(interval=0.4, down_interval=1.0)
    async with watching(tmp_path, settings) as node, ScriptedPrimary() as primary:
        await primary.stop()
        acme = await node.add("acme", primary)
        await node.becomes(Health.DOWN, acme)
        await primary.start()
        returned = time.monotonic()
        await node.pulse.changed()
        assert node.pulse.reach(acme.id) is Reach.CANARY
        assert time.monotonic() - returned < 2.0
        assert node.health(acme).state is Health.DOWN
        await node.pulse.changed()
        assert node.pulse.reach(acme.id) is Reach.YES
        await node.becomes(Health.UP, acme)


async def test_silence_is_a_failure(tmp_path: Path) -> None:
    """A primary that takes the connection and says nothing is down, and so is one that doesn't answer EHLO."""
    settings = Watch(interval=0.4, down_interval=0.1, reply_timeout=0.3)
    async with watching(tmp_path, settings) as node, ScriptedPrimary() as banner, ScriptedPrimary() as ehlo:
        banner.on_banner = HANG
        ehlo.on_helo = HANG
        one, two = await node.add("one", banner), await node.add("two", ehlo)
        await node.becomes(Health.DOWN, one, two)
        assert "no banner" in node.health(one).reason
        assert "EHLO" in node.health(two).reason
        banner.on_banner = None
        ehlo.on_helo = None
        await node.becomes(Health.UP, one, two)


async def test_a_primary_that_refuses_us_is_delayed(tmp_path: Path) -> None:
    """A 5xx banner is neither an outage nor a way to hand mail over, and it is told goodbye; then all is well again."""
    async with watching(tmp_path) as node, ScriptedPrimary() as primary:
        primary.on_banner = Reply(554, "5.7.1", "Your address is listed")
        acme = await node.add("acme", primary)
        await node.becomes(Health.DELAYED, acme)
        assert node.health(acme).refuses
        assert "Your address is listed" in node.health(acme).reason
        assert node.pulse.reach(acme.id) is Reach.NO
        await eventually(lambda: "QUIT" in primary.commands)
        primary.on_banner = None
        await node.becomes(Health.UP, acme)
        assert node.pulse.reach(acme.id) is Reach.YES


async def test_too_many_connections_is_no_outage(tmp_path: Path) -> None:
    """A primary that is up and answers 421 for a while stays up."""
    async with watching(tmp_path) as node, ScriptedPrimary() as primary:
        acme = await node.add("acme", primary)
        await node.becomes(Health.UP, acme)
        before, seen = node.written(acme), primary.connections
        primary.on_banner = Reply(421, "4.3.2", "Too many connections")
        await eventually(lambda: primary.connections >= seen + 5)
        assert node.written(acme) == before
        assert node.pulse.reach(acme.id) is Reach.YES


async def test_a_return_with_421_is_not_up_yet(tmp_path: Path) -> None:
    """A primary that comes back and answers 421 is delayed, tried with a canary, and up with its first yes."""
    async with watching(tmp_path) as node, ScriptedPrimary() as primary:
        await primary.stop()
        acme = await node.add("acme", primary)
        await node.becomes(Health.DOWN, acme)
        primary.on_banner = Reply(421, "4.3.2", "Still loading")
        await primary.start()
        await node.becomes(Health.DELAYED, acme)
        assert "Still loading" in node.health(acme).reason
        assert node.pulse.reach(acme.id) is Reach.CANARY
        primary.on_banner = None
        await node.becomes(Health.UP, acme)


async def test_deliveries_are_evidence(tmp_path: Path) -> None:
    """Half of twenty recipients deferred make an appliance delayed that answers its probes, and mail still flows."""
    async with watching(tmp_path) as node, ScriptedPrimary() as primary:
        acme = await node.add("acme", primary)
        await node.becomes(Health.UP, acme)
        for number in range(20):
            node.evidence.note_recipient(acme.id, number % 2 == 0, node.clock.now())
        await node.becomes(Health.DELAYED, acme)
        assert node.health(acme).reason == "deferring: 10 of 20 recipients in 10 minutes got 4xx"
        assert node.pulse.reach(acme.id) is Reach.YES
        node.evidence.forget(acme.id)
        await node.becomes(Health.UP, acme)


async def test_slow_probes_are_evidence_too(tmp_path: Path) -> None:
    """How long banner and EHLO took is known to whoever asks for the evidence."""
    async with watching(tmp_path) as node, ScriptedPrimary() as primary:
        primary.delay = 0.4
        acme = await node.add("acme", primary)
        await node.becomes(Health.UP, acme)
        view = node.evidence.view(acme.id, node.clock.now())
        assert view.replies >= 4
        assert view.p95_reply is not None
        assert 0.4 <= view.p95_reply < 5.0


async def test_down_only_when_every_primary_is(tmp_path: Path) -> None:
    """One of two primaries is enough."""
    async with watching(tmp_path) as node, ScriptedPrimary() as first, ScriptedPrimary() as second:
        acme = await node.add("acme", first, second)
        await node.becomes(Health.UP, acme)
        await first.stop()
        seen = second.connections
        await eventually(lambda: second.connections >= seen + 3)
        assert node.health(acme).state is Health.UP
        await second.stop()
        await node.becomes(Health.DOWN, acme)
        await first.start()
        await node.becomes(Health.UP, acme)


async def test_a_suspicion_is_looked_into_at_once(tmp_path: Path) -> None:
    """When delivery finds the primary dead, nobody waits for the next probe by the clock."""
    async with watching(tmp_path, PATIENT) as node, ScriptedPrimary() as primary:
        acme = await node.add("acme", primary)
        await node.becomes(Health.UP, acme)
        await primary.stop()
        await asyncio.sleep(0.5)
        assert node.health(acme).state is Health.UP, "nothing has called for a probe"
        node.pulse.suspect(acme.id)
        await node.becomes(Health.DOWN, acme)


async def test_an_endpoint_is_probed_once_for_all_behind_it(tmp_path: Path) -> None:
    """Two appliances of one host cost as many probes as one, and both hear of it."""
    async with watching(tmp_path, PATIENT) as node, ScriptedPrimary() as primary:
        one = await node.add("one", primary)
        await node.becomes(Health.UP, one)
        probes = primary.connections
        two = await node.add("two", primary)
        await node.becomes(Health.UP, two)
        assert primary.connections == probes
        await primary.stop()
        node.pulse.suspect(two.id)
        await node.becomes(Health.DOWN, one, two)


async def test_changes_by_an_operator_are_followed(tmp_path: Path) -> None:
    """A new primary is probed instead of the old one, and a removed appliance not at all."""
    async with watching(tmp_path) as node, ScriptedPrimary() as old, ScriptedPrimary() as new:
        acme = await node.add("acme", old)
        await node.becomes(Health.UP, acme)
        parsed = Primary.parse(new.address)
        with node.db.write() as connection:
            store.set_appliance(connection, "acme", primaries=(parsed,))
        await node.directory.refresh()
        await eventually(lambda: answered(new))
        left = old.connections
        with node.db.write() as connection:
            store.remove_appliance(connection, "acme")
        await node.directory.refresh()
        await eventually(lambda: node.pulse.reach(acme.id) is Reach.NO)
        probes = new.connections
        await asyncio.sleep(4 * QUICK.interval)
        assert new.connections == probes
        assert old.connections == left


async def test_a_restart_goes_on_from_what_is_known(tmp_path: Path) -> None:
    """What the database says is up stays up without a new proof, and down stays down since when it was."""
    async with ScriptedPrimary() as primary:
        async with watching(tmp_path) as node:
            alive, dead = await node.add("alive", primary), await node.add("dead", f"127.0.0.1:{free_port()}")
            await node.becomes(Health.UP, alive)
            await node.becomes(Health.DOWN, dead)
            before = node.written(alive), node.written(dead)
        async with watching(tmp_path) as node:
            await node.reaches(Reach.YES, alive)
            assert (node.written(alive), node.written(dead)) == before


async def test_a_delay_outlasts_a_handover(tmp_path: Path) -> None:
    """The next owner's probes are quick, and yet the appliance is as its last one left it, for ten minutes."""
    async with ScriptedPrimary() as primary, watching(tmp_path, name="first") as first:
        acme = await first.add("acme", primary)
        await first.becomes(Health.UP, acme)
        for place in range(20):
            first.evidence.note_recipient(acme.id, place % 2 == 0, first.clock.now())
        await first.becomes(Health.DELAYED, acme)
        left = first.written(acme)
        async with watching(tmp_path, name="second") as second:
            await eventually(lambda: second.node.others)
            second.evidence.note_oldest(acme.id, None)  # the end of a drain of long ago
            await first.node.close()
            await eventually(lambda: second.node.owns(acme.id))
            await second.reaches(Reach.YES, acme)
            assert not second.evidence.view(acme.id, second.clock.now()).looked
            before = primary.connections
            await eventually(lambda: primary.connections >= before + 3)
            assert second.health(acme) == left
            second.ahead += 601.0
            await second.becomes(Health.UP, acme)


async def test_the_heartbeat_stops_when_a_probe_hangs(tmp_path: Path) -> None:
    """Nobody is proven up by old probes: ten seconds after the last that kept its schedule that is over."""
    async with watching(tmp_path) as node, ScriptedPrimary() as primary:
        acme = await node.add("acme", primary)
        await node.becomes(Health.UP, acme)

        def proven() -> bool:
            return node.pulse.fresh(acme.id, node.clock.monotonic())

        node.ahead += 11.0
        await eventually(proven)
        primary.on_banner = HANG
        seen = primary.connections
        await eventually(lambda: primary.connections > seen)
        await asyncio.sleep(TARDY)
        node.ahead += 11.0
        await asyncio.sleep(BEAT + 0.2)
        assert not proven()
        assert node.health(acme).state is Health.UP


async def test_probes_that_learn_nothing_prove_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that can't be looked up any more: the appliance was up, but nobody vouches for it."""
    monkeypatch.setattr("relay.appliances.mx.STALE", 0.0)
    async with (
        DnsStub({"mail.acme.test A": ["127.0.0.1"]}, ttl=0) as stub,
        ScriptedPrimary() as primary,
        watching(tmp_path, resolver=stub.address) as node,
    ):
        acme = await node.add("acme", f"mail.acme.test:{primary.address.rpartition(':')[2]}")
        await node.becomes(Health.UP, acme)
        await eventually(lambda: node.pulse.fresh(acme.id, node.clock.monotonic()))
        stub.servfail = {"mail.acme.test"}
        stub.queries.clear()
        await eventually(lambda: len(stub.queries) > 1, timeout=30)
        node.ahead += 11.0
        await asyncio.sleep(BEAT + 0.2)
        assert not node.pulse.fresh(acme.id, node.clock.monotonic())
        assert node.health(acme).state is Health.UP


async def test_only_the_owner_writes(tmp_path: Path) -> None:
    """A node that was robbed of an appliance without noticing leaves the facts to the new owner."""
    async with watching(tmp_path, PATIENT) as node, ScriptedPrimary() as primary:
        acme, other = await node.add("acme", primary), await node.add("other", primary)
        await node.becomes(Health.UP, acme, other)
        with node.db.write() as connection:
            register(connection, "two", "x", 0.0, **ABOUT)
            connection.execute(update(owners).where(owners.c.appliance_id == acme.id).values(node="two"))
        await primary.stop()
        node.pulse.suspect(other.id)
        await node.becomes(Health.DOWN, other)
        assert node.written(acme).state is Health.UP


async def test_the_last_word_of_a_former_owner_is_put_right(tmp_path: Path) -> None:
    """One that was written after the new owner had looked doesn't stand for ever, though nothing changes any more."""
    async with watching(tmp_path) as node, ScriptedPrimary() as primary:
        acme = await node.add("acme", primary)
        await node.becomes(Health.UP, acme)
        known = node.written(acme)
        await node.db.change(facts.set_health, acme.id, dataclasses.replace(known, state=Health.DOWN, reason="silent"))
        await node.directory.refresh()
        await eventually(lambda: node.written(acme) == node.health(acme) == known)


async def test_what_cannot_be_written_of_one_is_in_no_others_way(tmp_path: Path) -> None:
    """The others' outages are seen; and its own as soon as it can be written."""
    async with watching(tmp_path, PATIENT) as node, ScriptedPrimary() as primary:
        acme, other = await node.add("acme", primary), await node.add("other", primary)
        await node.becomes(Health.UP, acme, other)
        with refused(node.db, "UPDATE", "health", acme.id):
            await primary.stop()
            node.pulse.suspect(acme.id)
            node.pulse.suspect(other.id)
            await eventually(lambda: node.written(other).state is Health.DOWN)
            assert node.written(acme).state is Health.UP
        await eventually(lambda: node.written(acme).state is Health.DOWN)


async def test_a_name_that_cannot_be_looked_up_is_unknown_and_not_down(tmp_path: Path) -> None:
    """A dead resolver says nothing about a primary, and the reason says so; a name that doesn't exist does."""
    async with DnsStub() as stub, watching(tmp_path, resolver=stub.address) as node:
        stub.servfail = {"mail.acme.test"}
        acme = await node.add("acme", "mail.acme.test:25")
        gone = await node.add("gone", "mail.gone.test:25")
        await node.becomes(Health.DOWN, gone)
        assert "has no address" in node.health(gone).reason
        await eventually(lambda: "the DNS gives no answer" in node.health(acme).reason)
        assert node.health(acme).state is Health.UNKNOWN


async def test_without_an_mx_preferred_to_us_there_is_a_finding(tmp_path: Path) -> None:
    """Mail has nowhere to go: health says why, a finding is there for a ticket, and goes when the cause does."""
    zone = {"acme.test MX": ["10 relay.test.", "20 mail.acme.test."], "relay.test A": ["127.0.0.2"]}
    async with (
        DnsStub(zone) as stub,
        ScriptedPrimary() as primary,
        watching(tmp_path, resolver=stub.address) as node,
    ):
        acme = await node.add("acme", domain="acme.test")

        def findings() -> list[tuple[str, str]]:
            with node.db.read() as connection:
                return [(found.condition, found.evidence) for found in facts.list_findings(connection)]

        await eventually(findings)
        text = "no MX of acme.test is strictly preferred to us: 10 relay.test, 20 mail.acme.test"
        assert findings() == [("mx", text)]
        await eventually(lambda: node.health(acme).reason == text)
        assert node.health(acme).state is Health.UNKNOWN
        with node.db.write() as connection:
            store.set_appliance(connection, "acme", primaries=(Primary.parse(primary.address),))
        await node.directory.refresh()
        await node.becomes(Health.UP, acme)
        await eventually(lambda: findings() == [])
