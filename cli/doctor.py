"""relayctl doctor: every readiness proof and node check, tried now, with what to do about each failure."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import click

from cli.context import Operator, json_option
from cli.render import plural, size
from relay.appliances import store
from relay.appliances.directory import Snapshot, load
from relay.appliances.model import Appliance, Domain, RecipientPolicy
from relay.clock import DRIFT_LIMIT
from relay.cluster.nodes import NodeRow, nodes
from relay.cluster.secret import secret
from relay.continuity.readiness import Prover
from relay.continuity.store import proofs_of
from relay.dns import Resolver
from relay.errors import Refused
from relay.queue.queue import Queue
from relay.settings import PROOFS, Settings

AT_ONCE = 8
"""Appliances that are proven at the same time."""
LOW_DISK = 2 * 1000**3

REMEDIES = {
    "dns": "mend the MX set as the evidence says (deploy/dns.md); the primary isn't in the DNS? "
    "'relayctl appliance set NAME --hidden'",
    "loop": "is a node running ('relayctl status'), and is port 25 reachable at the address that the DNS names?",
    "space": "give the disk or the quota more room ('relayctl domain set DOMAIN --quota'), or drain what waits",
    "expiry": "raise the lifetime: 'relayctl domain set DOMAIN --lifetime 30d' saves what is queued already",
    "recipients": "fill the list: 'relayctl recipient import DOMAIN FILE'; "
    "or take all: 'relayctl domain set DOMAIN --recipients any'",
    "tls": "renew the certificate that [smtp] tls_certificate names, then send the node SIGHUP",
}


@dataclass(frozen=True, slots=True)
class Check:
    """One line: ``result`` is ok, warning, failed or skipped; ``remedy`` is empty where nothing is to be done."""

    about: str
    check: str
    result: str
    evidence: str
    remedy: str = ""


@click.command()
@click.argument("domain", required=False)
@json_option
@click.pass_obj
def doctor(operator: Operator, domain: str | None) -> None:
    """Try every proof and check now; exit 1 if one fails. Works beside a running node, and without one."""
    with operator.db.read() as connection:
        snapshot = load(connection) or Snapshot()
        found = nodes(connection)
        chosen = store.get_domain(connection, domain) if domain else None
    appliances = [
        appliance
        for appliance in snapshot.appliances.values()
        if snapshot.domains_of.get(appliance.id) and (chosen is None or appliance.id == chosen.appliance_id)
    ]
    checks = list(_node_checks(operator, found))
    checks += operator.run(_prove_all(operator, snapshot, appliances, found))
    checks += _domain_checks(snapshot, appliances)
    if not operator.out.facts([asdict(check) for check in checks]):
        operator.out.table(
            ("ABOUT", "CHECK", "RESULT", "EVIDENCE"),
            ((check.about, check.check, check.result, _text(check)) for check in checks),
            empty="nothing to check",
        )
    failed = sum(check.result == "failed" for check in checks)
    if failed:
        raise Refused(f"{plural(failed, 'check')} of {len(checks)} failed")


def _text(check: Check) -> str:
    return f"{check.evidence}\n→ {check.remedy}" if check.remedy else check.evidence


def _node_checks(operator: Operator, found: Sequence[NodeRow]) -> Iterator[Check]:
    settings, now = operator.settings, operator.now()
    name = settings.node.name
    running = [row for row in found if row.state(now) == "running"]
    own = next((row for row in running if row.name == name), None)
    if own is None:
        others = f"; running: {', '.join(row.name for row in running)}" if running else ""
        yield Check(name, "running", "failed", f"this node doesn't run{others}", "start it: relayctl serve")
    else:
        yield Check(name, "running", "ok", f"listens on {', '.join(own.listeners)}")
        yield from _running_checks(own, now)
    free = shutil.disk_usage(operator.db.path.parent).free
    low = free < LOW_DISK
    remedy = "make room: past its end senders get 452, and nothing is lost" if low else ""
    yield Check(name, "disk", "warning" if low else "ok", f"{size(free)} free for mail", remedy)
    yield from _settings_checks(settings)


def _running_checks(own: NodeRow, now: float) -> Iterator[Check]:
    if own.isolated:
        yield Check(
            own.name,
            "connected",
            "failed",
            own.isolated,
            "this machine's own network: nothing is called down meanwhile",
        )
    else:
        yield Check(own.name, "connected", "ok", "not cut off, as far as its probes show")
    if abs(own.drift) > DRIFT_LIMIT:
        evidence = f"the wall clock was set by {own.drift:+.0f} s while the node ran"
        yield Check(own.name, "clock", "warning", evidence, "mend NTP, then restart the node at a quiet time")
    elif own.settles_at is not None and now < own.settles_at:
        evidence = "the clock looked wrong at the start: for an hour nothing expires"
        yield Check(own.name, "clock", "warning", evidence, "check the machine's clock")
    else:
        yield Check(own.name, "clock", "ok", f"{own.drift:+.1f} s from the wall clock")


def _settings_checks(settings: Settings) -> Iterator[Check]:
    node = settings.node
    if node.postmaster:
        yield Check(node.name, "postmaster", "ok", f"mail to postmaster goes to {node.postmaster}")
    else:
        remedy = "set [node] postmaster before listening on anything but loopback"
        yield Check(node.name, "postmaster", "warning", "nobody gets mail to postmaster (RFC 5321 4.5.1)", remedy)
    if not settings.watch.references:
        remedy = "set [watch] references to host:port that answer as long as this node is connected"
        evidence = "no reference hosts: being cut off is only noticed with three or more primaries"
        yield Check(node.name, "references", "warning", evidence, remedy)


async def _prove_all(
    operator: Operator, snapshot: Snapshot, appliances: Sequence[Appliance], found: Sequence[NodeRow]
) -> list[Check]:
    """A round of proofs for each appliance, through the listeners of the nodes that run."""
    now = operator.now()
    listeners = [listener for row in found if row.state(now) == "running" for listener in row.listeners]
    with operator.db.read() as connection:
        key = secret(connection)
    queue = Queue(operator.db, operator.clock, "doctor", on_accept=lambda _: None)
    await queue.start()
    try:
        prover = Prover(
            operator.settings,
            operator.db,
            queue,
            Resolver(operator.settings.dns),
            operator.clock,
            key,
            lambda: listeners,
        )
        turn = asyncio.Semaphore(AT_ONCE)

        async def one(appliance: Appliance) -> list[Check]:
            async with turn:
                return await _prove(operator, prover, appliance, snapshot.domains_of[appliance.id])

        return [check for checks in await asyncio.gather(*map(one, appliances)) for check in checks]
    finally:
        await queue.close()


async def _prove(operator: Operator, prover: Prover, appliance: Appliance, domains: Sequence[Domain]) -> list[Check]:
    before = await operator.db.run(proofs_of, appliance.id)
    tried = {proof.name: proof for proof in (await prover.prove(appliance, domains, before)).proofs}
    checks = []
    for name in PROOFS:
        proof = tried.get(name)
        if proof is None:
            checks.append(Check(appliance.name, name, "skipped", "skipped by the operator"))
        elif proof.ok:
            checks.append(Check(appliance.name, name, "ok", proof.evidence))
        else:
            checks.append(Check(appliance.name, name, "failed", proof.evidence, REMEDIES[name]))
    return checks


def _domain_checks(snapshot: Snapshot, appliances: Sequence[Appliance]) -> list[Check]:
    return [
        Check(
            domain.name,
            "policy",
            "warning",
            "every recipient is taken while the primary is down, also those that don't exist",
            f"list them: 'relayctl recipient import {domain.name} FILE', then "
            f"'relayctl domain set {domain.name} --recipients listed'",
        )
        for appliance in appliances
        for domain in snapshot.domains_of[appliance.id]
        if domain.recipients is RecipientPolicy.ANY
    ]
