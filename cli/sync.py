"""relayctl recipient sync: ask the customers' directories now.

It is done here and not by the node: so it works without one, the operator sees what became of it, and the transaction
that keeps lists and state is the same wherever it runs. A node that was at it in the same moment finds that it was
overtaken.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from cli.context import Operator, dry_run_option, json_option
from cli.names import EITHER, appliance_of
from cli.render import plural
from relay.appliances import store
from relay.appliances.model import Appliance
from relay.errors import Refused
from relay.recipients.sync.store import find_all

if TYPE_CHECKING:
    from relay.recipients.sync.syncer import Report

AT_ONCE = 16


@click.command("sync")
@click.argument("name", required=False, metavar="[DOMAIN|APPLIANCE]", type=EITHER)
@click.option("--accept-loss", is_flag=True, help="Take a list though over 20 % are gone (but never an empty one).")
@dry_run_option
@json_option
@click.pass_obj
def sync(operator: Operator, name: str | None, accept_loss: bool, dry_run: bool) -> None:
    """Ask the customers' directories now.

    Brings the lists of an appliance up to date, or of all. A node does so by itself, every hour or as
    'appliance set --directory-every' says.
    """
    if accept_loss and name is None:
        raise click.UsageError("--accept-loss needs a name: whose loss is right?")
    with operator.db.read() as connection:
        with_directory = find_all(connection)
        wanted = [appliance_of(connection, name)] if name else store.list_appliances(connection)
    chosen = [appliance for appliance in wanted if appliance.id in with_directory]
    if not chosen:
        whose = f"{wanted[0].name} has" if name else "no appliance has"
        no = "no directory" if name else "a directory"
        raise Refused(f"{whose} {no}; 'relayctl appliance set NAME --directory URL' sets one")
    reports = operator.run(_sync_all(operator, chosen, accept_loss=accept_loss, dry_run=dry_run))
    if not operator.out.facts([_describe(report, dry_run) for report in reports]):
        for report in reports:
            for line in _lines(report, dry_run):
                operator.out.line(f"{report.appliance.name}: {line}")
    failed = sum(report.evidence is not None or (not report.kept and not dry_run) for report in reports)
    if failed:
        raise Refused(f"{failed} of {plural(len(reports), 'sync', 'syncs')} failed")


async def _sync_all(
    operator: Operator, chosen: Sequence[Appliance], *, accept_loss: bool, dry_run: bool
) -> list[Report]:
    from relay.dns import Resolver  # what it takes to ask a directory, no other verb of this noun needs
    from relay.recipients.sync.syncer import Syncer

    syncer = Syncer(operator.db, Resolver(operator.settings.dns), operator.clock)
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(appliance: Appliance) -> Report | None:
        async with turn:
            return await syncer.sync(appliance, accept_loss=accept_loss, dry_run=dry_run)

    try:
        return [report for report in await asyncio.gather(*map(one, chosen)) if report is not None]
    finally:
        syncer.close()


def _lines(report: Report, dry_run: bool) -> list[str]:
    would = "would be " if dry_run else ""
    lines = [
        f"{plural(change.total, 'address', 'addresses')} at {domain}, {change.added} {would}added, "
        f"{change.removed} {would}removed"
        for domain, change in report.changes.items()
    ]
    if not report.kept and not dry_run:
        return ["nothing is changed: it was synced or set anew in the same moment"]
    if report.evidence is not None:
        lines.append(report.evidence)
    return lines or ["no domain takes listed recipients alone: 'relayctl domain set DOMAIN --recipients listed'"]


def _describe(report: Report, dry_run: bool) -> dict[str, Any]:
    return {
        "appliance": report.appliance.name,
        "ok": report.evidence is None and (report.kept or dry_run),
        "problem": report.evidence,
        "domains": [
            {"domain": domain, "addresses": change.total, "added": change.added, "removed": change.removed}
            for domain, change in report.changes.items()
        ],
        "dry_run": dry_run,
    }
