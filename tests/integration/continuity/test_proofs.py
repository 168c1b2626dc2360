"""Each proof against the real thing: what holds, and what fails with which evidence."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from relay.appliances import facts, store
from relay.appliances.model import RecipientPolicy
from relay.clock import Clock
from relay.cluster.secret import secret
from relay.continuity.proof import Proof
from relay.continuity.proofs import loop, tls
from relay.continuity.readiness import Prover, Round
from relay.dns import Resolver
from relay.queue.space import accept_rate
from relay.recipients import lists
from relay.settings import Smtp
from tests.integration.continuity.world import World, world
from tests.support.certificates import certificate

pytestmark = pytest.mark.usefixtures("engine")

HOUR, DAY = 3600, 86400


async def prove(it: World, known: tuple[Proof, ...] = (), **settings: Any) -> Round:
    """A round; ``settings``: sections that differ from the world's."""
    own = it.settings.model_copy(update=settings)
    resolver = Resolver(own.dns, it.clock)
    prover = Prover(own, it.db, it.queue, resolver, it.clock, it.see(secret), lambda: it.edge.listeners)
    await it.directory.refresh()
    return await prover.prove(
        it.directory.snapshot.appliances[it.appliance.id], it.directory.domains_of(it.appliance.id), known
    )


def result(found: Round, name: str) -> Proof:
    return next(proof for proof in found.proofs if proof.name == name)


async def test_all_six_hold(tmp_path: Path) -> None:
    """A relay that works proves it, each proof with the time it was begun."""
    async with world(tmp_path) as it:
        before = it.now
        found = await prove(it)
        assert [(proof.name, proof.ok) for proof in found.proofs] == [
            (name, True) for name in ("dns", "loop", "space", "expiry", "recipients", "tls")
        ]
        assert all(before <= proof.at <= it.now and proof.last_good_at == proof.at for proof in found.proofs)


async def test_loop_behind_a_load_balancer(tmp_path: Path) -> None:
    """A listener that wants a PROXY header from this machine is proven all the same."""
    async with world(tmp_path, smtp={"proxy_protocol_from": ["127.0.0.1"]}) as it:
        loop = result(await prove(it), "loop")
        assert loop.ok, loop.evidence
        assert "inside only" in loop.evidence


async def test_skipped_proofs_are_not_tried(tmp_path: Path) -> None:
    """Neither those that the appliance skips nor those that the settings skip for all."""
    async with world(tmp_path, skip_proofs=("dns", "loop"), rules={"skip_proofs": ["tls"]}) as it:
        found = await prove(it)
        assert [proof.name for proof in found.proofs] == ["space", "expiry", "recipients"]
        assert it.dns.queries == []


@pytest.mark.parametrize(
    ("records", "says"),
    [
        (["10 mail.acme.example."], "doesn't list this relay"),
        (["10 mail.acme.example.", "10 relay.example."], "as preferred as this relay"),
        (["20 mail.acme.example.", "10 relay.example."], "less preferred than this relay"),
        ([], "no MX record"),
    ],
)
async def test_dns_that_is_wrong_fails_and_is_found(tmp_path: Path, records: list[str], says: str) -> None:
    """The evidence says what was found; what is wrong with which domain is a finding."""
    async with world(tmp_path) as it:
        it.dns.records["acme.example MX"] = records
        good = Proof("dns", True, "as it should be", 1000.0, 1000.0)
        found = await prove(it, (good,))
        assert not result(found, "dns").ok
        assert says in result(found, "dns").evidence
        assert says in (found.findings["acme.example", "dns"] or "")
        assert result(found, "dns").last_good_at == 1000.0


async def test_a_silent_dns_is_served_by_its_last_good_answer_for_a_day(tmp_path: Path) -> None:
    """No answer is no finding, and fails only where there has been no good one for 24 hours."""
    async with world(tmp_path) as it:
        it.dns.servfail = {"acme.example"}
        fresh = Proof("dns", True, "as it should be", it.now - HOUR, it.now - HOUR)
        found = await prove(it, (fresh,))
        assert result(found, "dns").ok
        assert "the last good answer, of 2026-11-23T21:00:0" in result(found, "dns").evidence
        assert ("acme.example", "dns") not in found.findings
        old = Proof("dns", True, "as it should be", it.now - DAY, it.now - DAY)
        assert not result(await prove(it, (old,)), "dns").ok
        assert not result(await prove(it), "dns").ok


async def test_a_silent_dns_is_not_served_by_an_answer_before_a_wrong_one(tmp_path: Path) -> None:
    """What was found wrong since then stays wrong until it is seen to be right."""
    async with world(tmp_path) as it:
        it.dns.servfail = {"acme.example"}
        wrong = Proof("dns", False, "it doesn't list this relay", it.now - 600, it.now - HOUR)
        assert not result(await prove(it, (wrong,)), "dns").ok


async def test_a_dns_that_takes_too_long_is_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the round ends before the last domain was asked about, the last good answer serves."""
    monkeypatch.setattr("relay.continuity.readiness.TIMEOUT", 0.3)
    async with world(tmp_path) as it:
        it.dns.silent = True
        good = Proof("dns", True, "as it should be", it.now - HOUR, it.now - HOUR)
        found = result(await prove(it, (good,)), "dns")
        assert found.ok
        assert "no answer within" in found.evidence


async def test_the_busiest_hour_of_the_last_outage_counts_during_the_next(tmp_path: Path) -> None:
    """The outage that has just begun has seen no busy hour yet; the one before it has."""
    async with world(tmp_path) as it:
        first = it.change(facts.begin_outage, it.appliance.id, it.now, "no connection")
        await it.receive(20)
        busiest = it.see(accept_rate, it.appliance.id, it.now).busiest
        assert busiest > 0
        it.change(facts.mark_outage, first, ended_at=it.now)
        it.shift(DAY)
        it.change(facts.begin_outage, it.appliance.id, it.now, "no connection")
        assert it.see(accept_rate, it.appliance.id, it.now).busiest == busiest


async def test_the_loop_leaves_nothing_behind(tmp_path: Path) -> None:
    """A proof is no mail: nothing is queued, counted, or left to be handed to a primary."""
    async with world(tmp_path) as it:
        assert result(await prove(it), "loop").ok
        assert await it.queue.due(it.appliance.id, it.now + DAY) == []
        assert it.queue.depth(it.appliance.id).queued == 0
        assert not await it.queue.expiring(it.appliance.id, it.now + 100 * DAY)


async def test_the_loop_goes_over_the_published_address_where_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a sender's mail would; the evidence names the address."""
    async with world(tmp_path) as it:
        port = int(it.edge.listeners[0].rpartition(":")[2])
        monkeypatch.setattr(loop, "SMTP_PORT", port)
        it.dns.records["relay.example A"] = ["127.0.0.1"]
        proof = result(await prove(it), "loop")
        assert proof.ok
        assert f"over 127.0.0.1:{port}, as the DNS has it" in proof.evidence


async def test_the_loop_fails_where_somebody_else_answers_at_the_published_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What senders would meet decides, not that the inside works."""

    async def stranger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"554 5.7.1 No mail here\r\n")
        await reader.readline()
        writer.write(b"221 2.0.0 Bye\r\n")
        writer.close()

    async with world(tmp_path) as it:
        server = await asyncio.start_server(stranger, "127.0.0.1", 0)
        monkeypatch.setattr(loop, "SMTP_PORT", server.sockets[0].getsockname()[1])
        it.dns.records["relay.example A"] = ["127.0.0.1"]
        proof = result(await prove(it), "loop")
        assert not proof.ok
        assert "554 5.7.1 No mail here" in proof.evidence
        server.close()
        await server.wait_closed()


async def test_the_loop_fails_without_a_listener(tmp_path: Path) -> None:
    """A node that takes no mail can't prove that it does."""
    async with world(tmp_path, edge=False) as it:
        assert result(await prove(it), "loop").evidence == "no listener is open"


async def test_the_loop_fails_where_mail_is_refused(tmp_path: Path) -> None:
    """The reply is the evidence; here the listener knows another key, and takes the proof for nobody's address."""
    async with world(tmp_path) as it:
        prover = Prover(
            it.settings, it.db, it.queue, Resolver(it.settings.dns), it.clock, b"another", lambda: it.edge.listeners
        )
        proof = result(await prover.prove(it.appliance, (it.domain,), ()), "loop")
        assert not proof.ok
        assert "a message for acme.example was refused at RCPT: 550 5.1.1" in proof.evidence


async def test_space_fails_where_the_quota_does_not_last(tmp_path: Path) -> None:
    """What waits already counts; the evidence gives the rate and the hours."""
    async with world(tmp_path, domain={"quota": 100}) as it:
        await it.receive(4)
        proof = result(await prove(it), "space")
        assert not proof.ok
        assert "the quota lasts 0 h" in proof.evidence
        assert "12 h are needed" in proof.evidence


async def test_expiry_fails_where_queued_mail_ends_within_a_day(tmp_path: Path) -> None:
    """Raising the lifetime mends it at once."""
    async with world(tmp_path, domain={"lifetime": 2 * DAY}) as it:
        await it.receive(2)
        it.shift(DAY - 60)
        assert result(await prove(it), "expiry").ok
        it.shift(120)
        proof = result(await prove(it), "expiry")
        assert not proof.ok
        assert "2 queued recipients expire within 24 hours" in proof.evidence
        it.change(store.set_domain, "acme.example", lifetime=7 * DAY)
        assert result(await prove(it), "expiry").ok


async def test_recipients_fails_where_a_list_that_must_exist_is_empty(tmp_path: Path) -> None:
    """It is a finding about the domain, too, until the list is filled."""
    async with world(tmp_path, domain={"recipients": RecipientPolicy.LISTED}) as it:
        found = await prove(it)
        assert not result(found, "recipients").ok
        assert "the list is empty" in (found.findings["acme.example", "recipients"] or "")
        it.change(lists.add, it.domain, ["info"], it.now)
        found = await prove(it)
        assert result(found, "recipients").ok
        assert found.findings["acme.example", "recipients"] is None


@pytest.mark.parametrize(("days", "ok", "says"), [(8, True, "expires"), (6, False, "expires"), (-1, False, "expired")])
async def test_tls_looks_at_the_listeners_certificate(tmp_path: Path, days: int, ok: bool, says: str) -> None:
    """It has to be valid for seven more days."""
    made = certificate(tmp_path, "relay.example", days=days)
    found, evidence = await tls.prove_tls(
        Smtp(tls_certificate=str(made.certificate), tls_key=str(made.key)), Clock().now()
    )
    assert found is ok
    assert f" {says} 20" in evidence


async def test_tls_fails_where_the_certificate_is_gone(tmp_path: Path) -> None:
    """The evidence names the setting and the file."""
    found, evidence = await tls.prove_tls(Smtp(tls_certificate=str(tmp_path / "no.crt"), tls_key="x"), 0.0)
    assert not found
    assert "tls_certificate" in evidence
    assert "no.crt" in evidence


async def test_a_proof_that_hangs_fails_after_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others have their results; the evidence says how long was waited."""
    monkeypatch.setattr("relay.continuity.readiness.TIMEOUT", 1.0)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with world(tmp_path, edge=False) as it:
        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        prover = Prover(
            it.settings, it.db, it.queue, Resolver(it.settings.dns), it.clock, b"key", lambda: [f"127.0.0.1:{port}"]
        )
        found = await prover.prove(it.appliance, (it.domain,), ())
        assert result(found, "loop").evidence == "no result within 1 s"
        assert result(found, "dns").ok
        server.close()
        await server.wait_closed()


async def test_a_proof_that_ends_in_an_error_fails(tmp_path: Path) -> None:
    """Whatever it was is the evidence, and the other proofs are tried all the same."""
    async with world(tmp_path, edge=False) as it:
        prover = Prover(
            it.settings, it.db, it.queue, Resolver(it.settings.dns), it.clock, b"key", lambda: ["not an address"]
        )
        found = await prover.prove(it.appliance, (it.domain,), ())
        assert not result(found, "loop").ok
        assert "it could not be tried: 'not an address' should be host:port" in result(found, "loop").evidence
        assert result(found, "space").ok
