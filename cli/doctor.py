"""relayctl doctor: every readiness proof and node check, tried now, with what to do about each failure."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, astuple

import click

from cli import directory, domains_check, helpdesk_check, nodes_check, people, saved
from cli.checked import Check
from cli.context import Operator, json_option
from cli.names import EITHER, appliance_of
from cli.plain import printable
from cli.render import plural, size
from cli.table import prose, word
from cli.version import version
from relay.appliances.directory import Snapshot, load
from relay.appliances.model import Appliance, Domain, Primary
from relay.appliances.mx import Endpoints
from relay.backup.record import Made, last_sound
from relay.cluster.nodes import NodeRow, NodeState, nodes
from relay.cluster.secret import secret
from relay.continuity.readiness import Prover
from relay.continuity.store import proofs_of
from relay.dns import Resolver
from relay.edge.counts import refused as refused_lately
from relay.errors import Refused
from relay.queue.queue import Queue
from relay.queue.space import volume_free
from relay.settings import PROOFS, Settings
from relay.values import parse_address
from relay.watch.isolation import any_answers

AT_ONCE = 8
"""Appliances that are proven at the same time."""
HEARD_OF = 1.0
"""Seconds within which a node has heard of a domain that was added, and takes its mail."""
LOW_DISK = 2 * 1000**3
FEW = 60
"""Checks that are all listed for a person; of more, those that hold are only counted."""

START = "start it: 'relayctl serve', or 'systemctl start relay'"
REMEDIES = {
    "dns": "mend the MX set as the evidence says; deploy/dns.md shows how it should look",
    "loop": "is port 25 open at the addresses that the DNS names, and do [node] mx_names and mx_addresses name them?",
    "space": "make room on the disk, give it more of the quota with 'relayctl domain set {domain} --quota SIZE' "
    "or --quota-messages, or drain what waits",
    "expiry": "'relayctl domain set {domain} --lifetime 30d' saves what is queued already",
    "recipients": "'relayctl recipient import {domain} FILE' fills the list, "
    "'relayctl domain set {domain} --recipients any' does without; "
    "what is learned comes by itself while the primary is up",
    "tls": "renew the certificate that [smtp] tls_certificate names, then send the node SIGHUP",
}


@click.command()
@click.argument("name", required=False, metavar="[DOMAIN|APPLIANCE]", type=EITHER)
@json_option
@click.pass_obj
def doctor(operator: Operator, name: str | None) -> None:
    """Try every proof and check now, and say what to do; exit 1 if one fails.

    Works beside a running node, and without one.
    """
    with operator.db.read() as connection:
        snapshot = load(connection) or Snapshot()
        found = nodes(connection)
        chosen = appliance_of(connection, name).id if name else None
        refused = refused_lately(connection, operator.now())
        made = last_sound(connection)
    appliances = [
        appliance
        for appliance in snapshot.appliances.values()
        if snapshot.domains_of.get(appliance.id) and chosen in (None, appliance.id)
    ]
    checks = [*_node_checks(operator, found), _backup_check(operator.settings, made, operator.now())]
    checks += nodes_check.check(found, operator.now())
    checks += operator.run(_reference_checks(operator))
    if operator.settings.helpdesk.kind != "embedded":
        checks.append(Check(operator.settings.node.name, "helpdesk", *operator.run(helpdesk_check.check(operator))))
    checks += [Check(operator.settings.node.name, "people", *found) for found in people.checks(operator)]
    checks += operator.run(_prove_all(operator, snapshot, appliances, found))
    with operator.db.read() as connection:
        for one in appliances:
            checks += [Check(one.name, *astuple(finding)) for finding in directory.check(connection, one)]
    checks += domains_check.check(operator, snapshot, appliances)
    names = [domain.name for one in appliances for domain in snapshot.domains_of[one.id]]
    checks += domains_check.refusals_of(operator.settings.node.name, names, refused)
    if not operator.out.facts([asdict(check) for check in checks]):
        shown = [check for check in checks if len(checks) <= FEW or check.result != "ok"]
        operator.out.table(
            ("ABOUT", "CHECK", word("RESULT"), prose("EVIDENCE", lines=True)),
            ((check.about, check.check, check.result, _text(check)) for check in shown),
            empty="nothing to check",
        )
        if len(shown) < len(checks):
            operator.out.line(f"{plural(len(checks) - len(shown), 'more check')} ok", "dim")
    failed = sum(check.result == "failed" for check in checks)
    if failed:
        raise Refused(f"{plural(failed, 'check')} of {len(checks)} failed")


def _text(check: Check) -> str:
    return printable(check.evidence) + (f"\n→ {check.remedy}" if check.remedy else "")


def _node_checks(operator: Operator, found: Sequence[NodeRow]) -> Iterator[Check]:
    settings, now = operator.settings, operator.now()
    name = settings.node.name
    running = [row for row in found if row.runs(now)]
    own = next((row for row in running if row.name == name), None)
    if own is None:
        others = f"; running: {', '.join(row.name for row in running)}" if running else ""
        yield Check(name, "running", "failed", f"this node doesn't run{others}", START)
    else:
        yield Check(name, "running", "ok", f"listens on {', '.join(own.listeners)}")
        yield from _running_checks(own, now)
    free = volume_free(operator.db, settings.limits.database_capacity)
    if free is not None:
        low = free < max(LOW_DISK, settings.limits.min_disk_free)
        remedy = "make room: past its end senders get 452, and nothing is lost" if low else ""
        yield Check(name, "disk", "warning" if low else "ok", f"{size(free)} free for mail", remedy)
    else:
        remedy = "set [limits] database_capacity to what the database's volume has, such as '200GB'"
        yield Check(name, "disk", "warning", "PostgreSQL can't say what is free, and nobody else has", remedy)
    yield from _settings_checks(settings)


def _running_checks(own: NodeRow, now: float) -> Iterator[Check]:
    if own.version != version():
        evidence = f"the node runs version {own.version}, and {version()} is installed"
        yield Check(own.name, "version", "warning", evidence, "restart the node at a quiet time")
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
    yield from nodes_check.own_clock(own, now)


def _settings_checks(settings: Settings) -> Iterator[Check]:
    node = settings.node
    if "." not in node.hostname:
        evidence = f"EHLO and Received say {node.hostname!r}, which is no full name"
        yield Check(node.name, "hostname", "warning", evidence, "set [node] hostname to a name that the DNS knows")
    else:
        yield Check(node.name, "hostname", "ok", f"EHLO and Received say {node.hostname}")
    if not node.mx_names and not node.mx_addresses:
        evidence = f"in MX records only {node.hostname} is known to be this cluster"
        remedy = "set [node] mx_names and mx_addresses to what the customers' MX records say"
        yield Check(node.name, "mx", "warning", evidence, remedy)
    else:
        known = ", ".join([*node.mx_names, *node.mx_addresses])
        yield Check(node.name, "mx", "ok", f"in MX records this cluster is {known}")
    if node.postmaster:
        yield Check(node.name, "postmaster", "ok", f"mail to postmaster goes to {node.postmaster}")
    else:
        remedy = "set [node] postmaster before listening on anything but loopback"
        yield Check(node.name, "postmaster", "warning", "nobody gets mail to postmaster (RFC 5321 4.5.1)", remedy)


def _backup_check(settings: Settings, made: Made | None, now: float) -> Check:
    late = saved.overdue(made, settings.backup, now)
    remedy = saved.REMEDY if late else ""
    return Check(settings.node.name, "backup", "warning" if late else "ok", saved.evidence(made, now), remedy)


async def _reference_checks(operator: Operator) -> list[Check]:
    """Whether the reference hosts answer now: mistyped ones would be missed only in an outage."""
    settings = operator.settings
    name, watch = settings.node.name, settings.watch
    if not watch.references:
        evidence = "no reference hosts: where all primaries fail together, the node takes itself for cut off"
        remedy = "set [watch] references to host:port that answer as long as this node is connected"
        return [Check(name, "references", "warning", evidence, remedy)]
    endpoints = Endpoints(Resolver(settings.dns), settings.node)
    found = {
        reference: await any_answers([Primary(*parse_address(reference))], endpoints, watch.connect_timeout)
        for reference in watch.references
    }
    silent = [reference for reference, answers in found.items() if not answers]
    if not silent:
        return [Check(name, "references", "ok", f"answering: {', '.join(found)}")]
    result = "failed" if len(silent) == len(found) else "warning"
    remedy = "is the address right, and does it take TCP connections from here? ([watch] references)"
    return [Check(name, "references", result, f"silent: {', '.join(silent)}", remedy)]


async def _prove_all(
    operator: Operator, snapshot: Snapshot, appliances: Sequence[Appliance], found: Sequence[NodeRow]
) -> list[Check]:
    """A round of proofs for each appliance, through the listeners of the nodes that run."""
    now = operator.now()
    listeners = [listener for row in found if row.state(now) is NodeState.LIVE for listener in row.listeners]
    with operator.db.read() as connection:
        key = secret(connection)
    youngest = max((domain.created_at for one in appliances for domain in snapshot.domains_of[one.id]), default=0.0)
    if listeners and now - youngest < HEARD_OF:
        await asyncio.sleep(HEARD_OF)
    limits = operator.settings.limits
    queue = Queue(
        operator.db,
        operator.clock,
        "doctor",
        on_accept=lambda _: None,
        min_disk_free=limits.min_disk_free,
        database_capacity=limits.database_capacity,
    )
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
        progress = _Progress(len(appliances))

        async def one(appliance: Appliance) -> list[Check]:
            async with turn:
                checks = await _prove(operator, prover, appliance, snapshot.domains_of[appliance.id], bool(listeners))
            progress.tell()
            return checks

        return [check for checks in await asyncio.gather(*map(one, appliances)) for check in checks]
    finally:
        await queue.close()


class _Progress:
    """How far we are, for somebody who waits at a terminal."""

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._done = 0
        self._shown = wanted > AT_ONCE and sys.stderr.isatty()

    def tell(self) -> None:
        self._done += 1
        if self._shown:
            end = "\n" if self._done == self._wanted else ""
            click.echo(f"\r{self._done} of {plural(self._wanted, 'appliance')} tried{end}", nl=False, err=True)


async def _prove(
    operator: Operator, prover: Prover, appliance: Appliance, domains: Sequence[Domain], running: bool
) -> list[Check]:
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
            remedy = START if name == "loop" and not running else REMEDIES[name]
            domain = domains[0].name if len(domains) == 1 else "DOMAIN"
            checks.append(Check(appliance.name, name, "failed", proof.evidence, remedy.format(domain=domain)))
    return checks
