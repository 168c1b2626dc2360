"""The loop of continuity on a real database, with real proofs, a real queue and real tickets."""

from __future__ import annotations

import asyncio
from datetime import date
from pathlib import Path

from relay.appliances import facts, progress, store
from relay.appliances.facts import Continuity, Health, HealthFact
from relay.appliances.model import Activation
from relay.appliances.progress import Phase, Progress
from relay.cluster.secret import secret
from relay.continuity import orders
from relay.queue.ledger import ledger
from relay.tickets import operators
from relay.tickets.states import RELAY, Condition, Event, Priority, Status
from tests.integration.continuity.world import World, world
from tests.support.obstacles import refused
from tests.unit.continuity.outages import DAY, NIGHT, at


async def _taken_over(it: World) -> None:
    """Down, proven, and the ticket at P3."""
    await it.set_health(Health.DOWN)
    await it.until(lambda: it.continuity.state is Continuity.ACTIVE)
    it.shift(60)
    await it.until(lambda: (ticket := it.ticket()) and ticket.priority == 3)


async def test_an_outage_off_hours_is_told_from_beginning_to_end(tmp_path: Path) -> None:
    """Down, P1, taken over with the proof, P3, back, handed back, settled, resolved with the ledger."""
    async with world(tmp_path) as it:
        await it.receive(1)
        await _taken_over(it)
        assert it.priorities() == [1, 3]
        assert "a message for acme.example was taken, committed, read back and removed" in it.said()
        assert "inside only" in it.said()
        assert "acme.example: 10 mail.acme.example, 20 relay.example" in it.said()
        await it.receive(4)
        await it.set_health(Health.UP, "answers")
        await it.until(lambda: it.continuity.state is Continuity.DRAINING)
        outage_id = it.continuity.outage_id
        await it.hand_back(3)
        it.shift(10)
        await it.hand_back(1, deferred=True)
        await it.until(lambda: it.see(facts.get_outage, outage_id).drained_at is None)
        assert it.ledger(outage_id).queued == 2
        await it.hand_back(1)
        await it.until(lambda: it.see(facts.get_outage, outage_id).drained_at)
        it.shift(599)
        await it.until(lambda: it.continuity.state is Continuity.DRAINING)
        it.shift(2)
        await it.until(lambda: it.continuity.state is Continuity.STANDBY)
        ticket = it.ticket()
        assert ticket is not None
        assert ticket.status is Status.RESOLVED
        event, said = it.story()[-1]
        assert event is Event.RESOLVED
        assert "acme.example: 5 accepted = 4 delivered + 1 queued" in said
        assert it.ledger(outage_id).balanced
        outage = it.see(facts.get_outage, outage_id)
        assert (
            NIGHT <= outage.began_at < outage.taken_over_at < outage.returned_at < outage.drained_at < outage.ended_at
        )
        assert [(line.before, line.after, line.actor) for line in it.history()] == [
            ("standby", "active", RELAY),
            ("active", "draining", RELAY),
            ("draining", "standby", RELAY),
        ]
        assert it.continuity.outage_id is None


async def test_nothing_is_written_when_nothing_changes(tmp_path: Path) -> None:
    """A hundred ticks in an outage leave the version of the facts as it is."""
    async with world(tmp_path) as it:
        await _taken_over(it)
        await it.until(lambda: it.directory.snapshot.version == it.see(facts.version))
        before, lines = it.see(facts.version), len(it.story())
        for _ in range(100):
            await it.controller.tick()
        assert (it.see(facts.version), len(it.story())) == (before, lines)


async def test_the_p1_does_not_wait_for_a_proof_that_hangs(tmp_path: Path) -> None:
    """A name server that is silent delays the P3, never the P1; the ticket says what has no result yet."""
    async with world(tmp_path) as it:
        it.dns.silent = True
        await it.set_health(Health.DOWN)
        it.shift(60)
        await it.controller.tick()
        ticket = it.ticket()
        assert ticket is not None
        assert ticket.priority == 1
        assert "no result yet: dns, loop, space, expiry, recipients, tls" in it.said()
        await it.until(lambda: "failing dns: acme.example: the DNS gives no answer" in it.said())
        assert it.continuity.failing_proofs == ("dns",)
        it.dns.silent = False
        it.shift(120)
        await it.until(lambda: it.ticket().priority == 3)  # type: ignore[union-attr]


async def test_a_loop_that_is_broken_keeps_the_ticket_at_p1(tmp_path: Path) -> None:
    """Without a listener nothing is proven: standby, P1, and the failing proof with its evidence."""
    async with world(tmp_path, edge=False) as it:
        await it.set_health(Health.DOWN)
        it.shift(60)
        await it.until(lambda: "failing loop: no listener is open" in it.said())
        assert it.priorities() == [1]
        assert it.continuity.state is Continuity.STANDBY
        await it.edge.start()
        it.shift(120)
        await it.until(lambda: it.ticket().priority == 3)  # type: ignore[union-attr]


async def test_a_proof_that_is_lost_raises_the_ticket_after_ten_minutes(tmp_path: Path) -> None:
    """While active: not ready, P1 with the reason; proven for ten minutes: P3 again."""
    async with world(tmp_path) as it:
        await _taken_over(it)
        await it.edge.close(0)
        it.shift(600)
        await it.until(lambda: it.continuity.failing_proofs == ("loop",))
        assert it.continuity.ready
        for _ in range(5):
            it.shift(121)
            await it.until(lambda: it.proven_at() > it.now - 60)
        await it.until(lambda: it.ticket().priority == 1)  # type: ignore[union-attr]
        assert (it.continuity.state, it.continuity.ready) == (Continuity.ACTIVE, False)
        assert "has not been proven for 10 minutes" in it.said()
        assert it.history()[-1].after == "active, not proven"


async def test_an_outage_of_business_hours_is_taken_over_at_closing_time(tmp_path: Path) -> None:
    """P1 from 14:00, P3 from 18:00, without any new fact but the time."""
    async with world(tmp_path, start=DAY) as it:
        await it.set_health(Health.DOWN)
        it.shift(60)
        await it.until(lambda: it.ticket())
        assert it.history() == []
        it.shift_to(at("2026-11-23 17:59:50"))
        await it.until(lambda: it.proven_at() > it.now - 60)
        assert it.priorities() == [1]
        it.shift(20)
        await it.until(lambda: it.ticket().priority == 3)  # type: ignore[union-attr]
        assert it.continuity.state is Continuity.ACTIVE


async def test_an_operator_activates_and_deactivates(tmp_path: Path) -> None:
    """With the policy manual nothing is taken over until it is ordered; the opposite order takes it back."""
    async with world(tmp_path, activation=Activation.MANUAL) as it:
        await it.set_health(Health.DOWN)
        it.shift(60)
        await it.until(lambda: it.ticket())
        assert "relayctl failover activate acme" in it.said()
        ordered = it.change(orders.activate, "acme", "dana", "they asked for it", it.now)
        assert not ordered.armed
        await it.directory.refresh()
        await it.until(lambda: it.ticket().priority == 3)  # type: ignore[union-attr]
        assert "dana ordered it" in it.said()
        it.change(orders.deactivate, "acme", "dana", "", it.now)
        await it.directory.refresh()
        await it.until(lambda: it.continuity.state is Continuity.STANDBY)
        assert it.priorities() == [1, 3, 1]
        assert [(line.actor, line.before, line.after) for line in it.history()] == [
            ("dana", "", "activate"),
            (RELAY, "standby", "active"),
            ("dana", "activate", "deactivate"),
            (RELAY, "active", "standby"),
        ]


async def test_an_order_that_crosses_a_decision_is_not_lost(tmp_path: Path) -> None:
    """What was decided on facts that have changed since is dropped, and decided anew."""
    async with world(tmp_path, start=DAY) as it:
        began = it.now
        await it.set_health(Health.DOWN)
        await it.until(lambda: it.continuity.outage_id)
        await it.until(lambda: it.proven_at() >= began)  # a proof's address is good for a minute
        it.change(orders.activate, "acme", "dana", "", it.now)  # the directory hasn't heard of it
        it.shift(60)
        await it.until(lambda: it.ticket() and it.ticket().priority == 3)  # type: ignore[union-attr]
        assert it.continuity.order == "activate"


async def test_an_order_that_crosses_the_end_of_the_outage_is_kept_for_the_next(tmp_path: Path) -> None:
    """The end forgets the order of its own outage, not the one that came in the same moment."""
    async with world(tmp_path, activation=Activation.MANUAL) as it:
        it.change(orders.activate, "acme", "dana", "", it.now)
        await it.directory.refresh()
        await _taken_over(it)
        it.shift(5)
        await it.set_health(Health.UP, "answers")
        outage_id = it.continuity.outage_id
        await it.until(lambda: it.see(facts.get_outage, outage_id).drained_at)
        it.shift(601)
        it.change(orders.deactivate, "acme", "noor", "", it.now)  # the directory hasn't heard of it
        await it.until(lambda: it.continuity.outage_id is None)
        assert (it.continuity.order, it.continuity.order_by) == ("deactivate", "noor")


async def test_maintenance_queues_mail_and_opens_no_ticket_until_its_end(tmp_path: Path) -> None:
    """The outage is there, its mail is counted for it; the P1 comes with the end of the window."""
    async with world(tmp_path, start=DAY) as it:
        it.change(
            facts.add_window,
            appliance_id=it.appliance.id,
            starts_at=it.now - 10,
            ends_at=it.now + 3600,
            reason="new disks",
            created_by="dana",
        )
        await it.set_health(Health.DOWN)
        await it.until(lambda: it.continuity.outage_id)
        await it.receive(2)
        it.shift(1800)
        await it.controller.tick()
        assert it.ticket() is None
        assert it.ledger(it.continuity.outage_id).queued == 2
        it.shift(1801)
        await it.until(lambda: it.ticket())
        assert it.priorities() == [1]


async def test_mail_that_waited_before_the_outage_is_counted_for_it(tmp_path: Path) -> None:
    """Also where the node died between its decision and the counting: the next start makes up for it."""
    async with world(tmp_path) as it:
        await it.receive(3)
        with it.db.write() as connection:  # as a crash leaves it: the outage is there, the mail is not counted
            number = facts.begin_outage(connection, it.appliance.id, it.now, "no connection")
            present = facts.get_continuity(connection, it.appliance.id)
            assert present is not None
            facts.set_continuity(
                connection,
                it.appliance.id,
                type(present)(Continuity.STANDBY, it.now, outage_id=number),
            )
        await it.set_health(Health.DOWN)
        await it.until(lambda: it.see(ledger, outage=number))
        assert it.ledger(number).queued == 3


async def test_a_restart_in_the_middle_of_an_outage_changes_nothing(tmp_path: Path) -> None:
    """Another controller takes up the outage, its proofs and its ticket as they are, and ends it properly."""
    async with world(tmp_path) as it:
        await _taken_over(it)
        lines, before = len(it.story()), it.continuity
        await it.controller.close()
        it.controller = it.make_controller(it.see(secret))
        for _ in range(20):
            await it.controller.tick()
        assert (len(it.story()), it.continuity) == (lines, before)
        await it.set_health(Health.UP, "answers")
        outage_id = it.continuity.outage_id
        await it.until(lambda: it.see(facts.get_outage, outage_id).drained_at)
        it.shift(601)
        await it.until(lambda: it.ticket().resolved)  # type: ignore[union-attr]


async def test_a_ticket_that_a_person_opened_is_adopted(tmp_path: Path) -> None:
    """There is one ticket for the outage: the one that was there."""
    async with world(tmp_path) as it:
        mine = it.change(operators.open_ticket, "acme", Condition.MAILFLOW, Priority.P2, "dana", "they called", it.now)
        await _taken_over(it)
        ticket = it.ticket()
        assert ticket is not None
        assert ticket.id == mine.id
        assert [event for event, _ in it.story()][:2] == [Event.OPENED, Event.ADOPTED]


async def test_a_person_who_resolves_the_ticket_is_not_contradicted(tmp_path: Path) -> None:
    """It stays resolved while the facts stay the same, and is reopened when they get worse."""
    async with world(tmp_path) as it:
        await _taken_over(it)
        it.change(operators.resolve, it.ticket().id, "dana", "known, leave it", it.now)  # type: ignore[union-attr]
        for _ in range(20):
            await it.controller.tick()
        assert it.ticket().resolved  # type: ignore[union-attr]
        it.shift_to(at("2026-11-24 08:31"))
        await it.until(lambda: not it.ticket().resolved)  # type: ignore[union-attr]
        assert it.priorities()[-1] == 1


async def test_a_ticket_that_a_person_resolved_too_early_is_reopened(tmp_path: Path) -> None:
    """Resolved by a person when it was back: down again before the outage ended, it is a P1 after the usual minute."""
    async with world(tmp_path, activation="manual") as it:
        await it.set_health(Health.DOWN)
        it.shift(61)
        first = await it.until(it.ticket)
        await it.set_health(Health.UP, "answers")
        await it.until(lambda: it.continuity.state is Continuity.DRAINING)
        it.change(operators.resolve, first.id, "dana", "it is back", it.now)
        it.shift(30)
        await it.set_health(Health.DOWN)
        await _ticks(it, 5)
        assert it.story()[-1] == (Event.RESOLVED, "it is back")
        it.shift(61)
        _, said = await it.until(lambda: it.story()[-1][0] is Event.REOPENED and it.story()[-1])
        assert "acme is down since" in said
        ticket = it.ticket()
        assert ticket is not None
        assert (ticket.id, ticket.priority) == (first.id, Priority.P1)


async def test_the_ticket_lists_a_domain_that_is_added_meanwhile(tmp_path: Path) -> None:
    """Two domains of one appliance are one ticket."""
    async with world(tmp_path) as it:
        await _taken_over(it)
        it.change(store.add_domain, it.now, name="acme.example.org", appliance_id=it.appliance.id)
        await it.directory.refresh()
        await it.until(lambda: it.ticket().domains == ("acme.example", "acme.example.org"))  # type: ignore[union-attr]


async def test_a_delay_is_a_p2_until_it_is_over_and_settled(tmp_path: Path) -> None:
    """Without an outage: nothing is activated, and mail of before the return has to be tried first."""
    async with world(tmp_path) as it:
        await it.receive(1)
        await it.set_health(Health.DELAYED, "half of its recipients got 4xx")
        await it.until(lambda: it.ticket())
        assert it.priorities() == [2]
        it.shift(100)
        await it.set_health(Health.UP, "answers")
        it.shift(601)
        await it.controller.tick()
        await it.until(lambda: not it.ticket().resolved)  # type: ignore[union-attr]
        await it.hand_back(1)
        await it.until(lambda: it.ticket().resolved)  # type: ignore[union-attr]
        assert it.continuity.state is Continuity.STANDBY
        assert it.history() == []


async def test_progress_is_told_while_mail_is_handed_back(tmp_path: Path) -> None:
    """The return says how many wait; after a minute a tenth is worth a comment, after five minutes a standstill too."""
    async with world(tmp_path) as it:
        await _taken_over(it)
        await it.receive(10)
        it.shift(5)
        await it.set_health(Health.UP, "answers")
        await it.until(lambda: it.continuity.state is Continuity.DRAINING)
        assert "10 recipients wait" in it.said()
        await it.hand_back(2)
        it.shift(61)
        _drains(it, rate=0.1)
        await it.until(
            lambda: "2 of 10 recipients have been tried (20%). Now 6 a minute, 8 left, about 1 min left." in it.said()
        )
        it.shift(301)
        await it.until(lambda: "stands still: 2 of 10" in it.said())
        assert len([reason for _, reason in it.story() if "have been tried" in reason]) == 2


def _drains(it: World, rate: float) -> None:
    """What delivery wrote last."""
    row = Progress(it.appliance.id, "one", it.now - 60, it.now, Phase.RUNNING, 2, 8, rate, it.now)
    it.change(progress.write, "one", [row], [])


async def _ticks(it: World, count: int) -> None:
    for _ in range(count):
        await it.controller.tick()


async def test_a_relapse_has_a_backlog_of_its_own(tmp_path: Path) -> None:
    """What came while it was down again is tried before the outage is drained."""
    async with world(tmp_path) as it:
        await _taken_over(it)
        await it.receive(1)
        it.shift(5)
        await it.set_health(Health.UP, "answers")
        await it.until(lambda: it.continuity.state is Continuity.DRAINING)
        outage_id = it.continuity.outage_id
        await it.hand_back(1)
        await it.until(lambda: it.see(facts.get_outage, outage_id).drained_at)
        it.shift(5)
        await it.set_health(Health.DOWN)
        await it.until(lambda: it.continuity.state is Continuity.ACTIVE)
        await it.receive(2)
        it.shift(5)
        await it.set_health(Health.UP, "answers")
        await it.until(lambda: "2 recipients wait" in it.said())
        await it.hand_back(1)
        await _ticks(it, 20)
        assert it.see(facts.get_outage, outage_id).drained_at is None
        await it.hand_back(1)
        await it.until(lambda: it.see(facts.get_outage, outage_id).drained_at)


async def test_another_owner_decides(tmp_path: Path) -> None:
    """A node that owns the appliance no longer writes nothing about it."""
    async with world(tmp_path) as it:
        await it.until(lambda: it.continuity.ready)
        it.owned = False
        await it.set_health(Health.DOWN)
        it.shift(60)
        await _ticks(it, 10)
        assert it.ticket() is None
        it.owned = True
        await it.until(lambda: it.ticket())


async def test_a_node_that_has_not_heard_that_its_lease_is_gone_decides_nothing(tmp_path: Path) -> None:
    """The database is asked in the transaction that decides."""
    async with world(tmp_path) as it:
        await it.until(lambda: it.continuity.ready)
        it.held = False
        down_at = it.now
        await it.set_health(Health.DOWN)
        it.shift(60)
        await it.until(lambda: it.proven_at() > down_at)
        await _ticks(it, 10)
        assert (it.ticket(), it.continuity.outage_id) == (None, None)
        it.held = True
        await it.until(lambda: it.ticket())


async def test_one_appliance_that_cannot_be_written_holds_up_no_other(tmp_path: Path) -> None:
    """The others are decided at once; it is tried again until it can be."""
    async with world(tmp_path) as it:
        others = [it.change(store.add_appliance, it.now, name=f"other{place}") for place in range(5)]
        for other in others:
            it.change(store.add_domain, it.now, name=f"{other.name}.example", appliance_id=other.id)
        *others, broken = others
        with refused(it.db, "INSERT", "outages", broken.id):
            for appliance in (it.appliance, *others, broken):
                it.change(facts.set_health, appliance.id, HealthFact(Health.DOWN, "no connection", it.now))
            it.shift(60)
            await it.directory.refresh()
            await it.controller.tick()
            assert all(it.ticket(appliance=appliance) for appliance in (it.appliance, *others))
            assert it.ticket(appliance=broken) is None
        it.shift(10)
        await it.until(lambda: it.ticket(appliance=broken))


async def test_evidence_that_cannot_be_kept_counts_for_nothing_and_holds_up_nobody(tmp_path: Path) -> None:
    """The P1 comes in time and stays; another appliance is proven and taken over."""
    async with world(tmp_path) as it:
        other = it.change(store.add_appliance, it.now, name="other", skip_proofs=("dns",))
        it.change(store.add_domain, it.now, name="other.example", appliance_id=other.id)
        with refused(it.db, "INSERT", "proofs", it.appliance.id):
            for appliance in (it.appliance, other):
                it.change(facts.set_health, appliance.id, HealthFact(Health.DOWN, "no connection", it.now))
            it.shift(60)
            await it.directory.refresh()
            await it.until(lambda: (ticket := it.ticket(appliance=other)) and ticket.priority == 3)
            assert it.priorities() == [1]
        it.shift(10)
        await it.until(lambda: it.ticket().priority == 3)  # type: ignore[union-attr]


async def test_an_appliance_without_a_running_contract_opens_nothing(tmp_path: Path) -> None:
    """Nobody is woken for a customer who has left."""
    async with world(tmp_path, domain={"until": date(2026, 11, 1)}) as it:
        await it.set_health(Health.DOWN)
        it.shift(60)
        await _ticks(it, 10)
        assert it.ticket() is None
        assert it.continuity.outage_id is None


async def test_readiness_is_known_in_quiet_times(tmp_path: Path) -> None:
    """Soon after the start, and then hourly."""
    async with world(tmp_path) as it:
        await it.until(lambda: it.continuity.ready)
        first = it.proven_at()
        it.shift(60)
        for _ in range(10):
            await it.controller.tick()
            await asyncio.sleep(0.01)  # a round that was begun would be heard of
        assert it.proven_at() == first
        await it.edge.close(0)
        it.shift(3601)
        await it.until(lambda: it.proven_at() > first)
        await it.until(lambda: it.continuity.ready is False)
        assert it.continuity.failing_proofs == ("loop",)
        assert it.ticket() is None


async def test_settings_that_are_reread_are_gone_by_at_once(tmp_path: Path) -> None:
    """A proof that is skipped from now on no longer keeps the ticket at P1."""
    async with world(tmp_path, edge=False) as it:
        await it.set_health(Health.DOWN)
        it.shift(60)
        await it.until(lambda: "failing loop" in it.said() if it.ticket() else False)
        rules = it.settings.continuity.model_copy(update={"skip_proofs": ["loop"]})
        it.controller.reconfigure(it.settings.model_copy(update={"continuity": rules}))
        await it.until(lambda: it.ticket().priority == 3)  # type: ignore[union-attr]
        assert "skipped by the operator: loop" in it.said()
