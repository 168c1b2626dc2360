"""What was found wrong in a customer's set-up becomes a ticket, and goes when it is cured."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay.appliances import facts, store
from relay.appliances.facts import Continuity, Health
from relay.cluster.secret import secret
from relay.tickets import operators
from relay.tickets.states import RELAY, Condition, Event, Priority
from relay.tickets.store import histories, latest_of_ours
from relay.tickets.tables import tickets
from tests.integration.continuity.world import World, world
from tests.support.certificates import certificate


async def _learn(it: World) -> None:
    await it.directory.refresh()
    await it.controller.tick()


async def test_a_domain_whose_mx_set_is_wrong_gets_a_p3_until_it_is_mended(tmp_path: Path) -> None:
    """The hourly round finds it, and finds it mended; the appliance is up all the while."""
    async with world(tmp_path) as it:
        it.change(store.add_domain, it.now, name="acme.example.org", appliance_id=it.appliance.id)
        it.dns.records["acme.example.org MX"] = ["10 mail.acme.example."]
        await it.directory.refresh()
        ticket = await it.until(lambda: it.ticket(Condition.MX))
        assert (ticket.priority, ticket.domains) == (Priority.P3, ("acme.example.org",))
        assert "doesn't list this relay" in it.said(Condition.MX)
        assert it.ticket() is None
        it.dns.records["acme.example.org MX"] = ["10 mail.acme.example.", "20 relay.example."]
        it.shift(3601)
        await it.until(lambda: (mended := it.ticket(Condition.MX)) and mended.resolved)
        assert it.story(Condition.MX)[-1] == (Event.RESOLVED, "All of it is as it should be again.")


async def test_a_dns_that_gives_no_answer_opens_nothing(tmp_path: Path) -> None:
    """Unknown is not wrong."""
    async with world(tmp_path) as it:
        it.dns.servfail = {"acme.example"}
        await it.until(lambda: it.continuity.ready is False)
        await it.controller.tick()
        assert it.ticket(Condition.MX) is None


async def test_findings_of_other_rooms_are_told_with_the_domains_they_are_about(tmp_path: Path) -> None:
    """One ticket for each condition; what changes in it is a comment, and the last one cured resolves it."""
    async with world(tmp_path) as it:
        number = it.appliance.id
        it.change(facts.set_finding, number, "", "backup", "the last backup is 40 days old", it.now)
        it.change(facts.set_finding, number, "acme.example", "mx", "no host is left", it.now)
        await _learn(it)
        backup, mx = it.ticket(Condition.BACKUP), it.ticket(Condition.MX)
        assert backup is not None
        assert mx is not None
        assert backup.domains == mx.domains == ("acme.example",)
        it.change(facts.set_finding, number, "acme.example", "mx", "only ourselves are left", it.now)
        await _learn(it)
        assert it.story(Condition.MX)[-1] == (Event.COMMENT, "acme.example: only ourselves are left")
        it.change(facts.set_finding, number, "acme.example", "mx", None, it.now)
        await _learn(it)
        mx, backup = it.ticket(Condition.MX), it.ticket(Condition.BACKUP)
        assert mx is not None
        assert mx.resolved
        assert backup is not None
        assert not backup.resolved


@pytest.mark.parametrize("reopened_by", ["relay", "dana"])
async def test_what_was_said_before_a_ticket_was_reopened_is_said_again(tmp_path: Path, reopened_by: str) -> None:
    """Reopened with other words, by the relay or by somebody whose ticket it adopts, it doesn't stop at those."""
    async with world(tmp_path) as it:

        async def finds(evidence: str | None) -> None:
            it.change(facts.set_finding, it.appliance.id, "", "certificate", evidence, it.now)
            await _learn(it)

        await finds("self-signed")
        await finds("expired")
        await finds(None)
        ticket = it.ticket(Condition.CERTIFICATE)
        assert ticket is not None
        assert ticket.resolved
        it.shift(60)
        if reopened_by != RELAY:
            it.change(operators.reopen, ticket.id, reopened_by, "I doubt it", it.now)
        await finds("self-signed")
        await finds("expired")
        beginning = Event.REOPENED if reopened_by == RELAY else Event.ADOPTED
        assert it.story(Condition.CERTIFICATE)[-2:] == [(beginning, "self-signed"), (Event.COMMENT, "expired")]


async def test_what_is_cured_while_no_node_runs_is_resolved_at_the_next_start(tmp_path: Path) -> None:
    """And what has not changed is not told again."""
    async with world(tmp_path) as it:
        number = it.appliance.id
        it.change(facts.set_finding, number, "", "backup", "the last backup is 40 days old", it.now)
        it.change(facts.set_finding, number, "", "quota", "nine tenths are used", it.now)
        await _learn(it)
        await it.controller.close()
        it.change(facts.set_finding, number, "", "backup", None, it.now)
        await it.directory.refresh()
        it.controller = it.make_controller(it.see(secret))
        await _learn(it)
        backup, quota = it.ticket(Condition.BACKUP), it.ticket(Condition.QUOTA)
        assert backup is not None
        assert backup.resolved
        assert quota is not None
        assert [event for event, _ in it.story(Condition.QUOTA)] == [Event.OPENED]


async def test_what_changes_while_no_node_runs_is_said_at_the_next_start(tmp_path: Path) -> None:
    """Once; a ticket doesn't go on saying what is no longer so."""
    async with world(tmp_path) as it:

        async def restart() -> None:
            await it.controller.close()
            await it.directory.refresh()
            it.controller = it.make_controller(it.see(secret))
            await _learn(it)

        it.change(facts.set_finding, it.appliance.id, "", "certificate", "expires on Monday", it.now)
        await _learn(it)
        it.change(facts.set_finding, it.appliance.id, "", "certificate", "expired", it.now)
        for _ in range(2):
            await restart()
            assert it.story(Condition.CERTIFICATE) == [
                (Event.OPENED, "expires on Monday"),
                (Event.COMMENT, "expired"),
            ]


async def test_what_changes_about_our_own_certificate_over_a_restart_is_said(tmp_path: Path) -> None:
    """Its ticket doesn't go on saying that it is about to expire when it has."""
    made = certificate(tmp_path, "relay.example", days=1)
    files = {"tls_certificate": str(made.certificate), "tls_key": str(made.key)}
    async with world(tmp_path, edge=False, smtp=files, start=made.expires_at - 3600) as it:
        await it.controller.tick()
        it.shift(7200)
        for _ in range(2):
            await it.controller.close()
            it.controller = it.make_controller(it.see(secret))
            await it.controller.tick()
        ticket = it.see(latest_of_ours, "node test", Condition.CERTIFICATE)
        lines = it.see(histories, tickets.c.id == ticket.id)[ticket.id]
        assert [("expired" in line.reason, line.event) for line in lines] == [
            (False, Event.OPENED),
            (True, Event.COMMENT),
        ]


async def test_a_drain_that_was_stopped_is_told_in_the_ticket_of_the_outage_once(tmp_path: Path) -> None:
    """Also over a restart; and that it goes on is told, too."""
    async with world(tmp_path) as it:
        await it.set_health(Health.DOWN)
        it.shift(60)
        await it.until(lambda: it.continuity.state is Continuity.ACTIVE and it.ticket())
        it.change(facts.set_finding, it.appliance.id, "", "breaker", "the drain is stopped: 3 were refused", it.now)
        await _learn(it)
        await it.controller.close()
        it.controller = it.make_controller(it.see(secret))
        await _learn(it)
        assert it.said().count("the drain is stopped: 3 were refused (since 2026-11-23T22:01:0") == 1
        it.change(facts.set_finding, it.appliance.id, "", "breaker", None, it.now)
        await _learn(it)
        assert "No longer: the drain is stopped: 3 were refused" in it.said()


async def test_the_findings_of_another_nodes_appliance_are_left_alone(tmp_path: Path) -> None:
    """Only the owner tells; it does once it is the owner."""
    async with world(tmp_path) as it:
        it.owned = False
        it.change(facts.set_finding, it.appliance.id, "", "backup", "the last backup is 40 days old", it.now)
        await _learn(it)
        assert it.ticket(Condition.BACKUP) is None
        it.owned = True
        await it.until(lambda: it.ticket(Condition.BACKUP))


async def test_findings_of_a_domain_that_was_removed_are_forgotten(tmp_path: Path) -> None:
    """A ticket doesn't wait for what is gone."""
    async with world(tmp_path) as it:
        it.change(store.add_domain, it.now, name="gone.example", appliance_id=it.appliance.id)
        await it.directory.refresh()
        await it.until(lambda: it.ticket(Condition.MX))
        it.change(store.remove_domain, "gone.example")
        await it.directory.refresh()
        it.shift(3601)
        await it.until(lambda: (ticket := it.ticket(Condition.MX)) and ticket.resolved)
