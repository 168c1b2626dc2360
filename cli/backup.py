"""relayctl backup: the customers' own backups of their appliances, as far as somebody says so."""

from __future__ import annotations

import click

from cli.context import Noun, Operator, When, json_option, limit_option
from cli.names import EITHER, appliance_of
from cli.render import at, clock_time, span
from cli.table import Column, count, prose
from relay.appliances import backups, store
from relay.errors import Refused


@click.group(cls=Noun)
def backup() -> None:
    """When a customer's appliance was last backed up.

    The relay makes no backups of appliances. It keeps the record, and opens a P3 when the last one is older than
    'relayctl appliance set NAME --backup-every 7d' says.
    """


@backup.command("record")
@click.argument("name", metavar="APPLIANCE|DOMAIN", type=EITHER)
@click.option("--at", "made_at", type=When(), help="When it was made (default: now).")
@click.option("-m", "--what", default="", help="What was saved, and where it lies.")
@json_option
@click.pass_obj
def record(operator: Operator, name: str, made_at: float | None, what: str) -> None:
    """Note that a backup was made.

    \b
    relayctl backup record acme -m "full, to the vault"
    relayctl backup record acme --at 2026-11-23T22:00
    """
    now = operator.now()
    if made_at is not None and made_at > now:
        raise Refused(f"{clock_time(made_at)} is yet to come; record a backup when it has been made")
    with operator.db.write() as connection:
        appliance = appliance_of(connection, name)
        moment = now if made_at is None else made_at
        made = backups.record(connection, appliance.id, moment, what, operator.who, now)
    operator.out.done(
        f"backup {made.id} of {appliance.name} at {clock_time(made.made_at)} recorded",
        id=made.id,
        appliance=appliance.name,
        made_at=at(made.made_at),
        what=what,
        recorded_by=made.recorded_by,
    )


@backup.command("list")
@click.argument("name", metavar="[APPLIANCE|DOMAIN]", required=False, type=EITHER)
@limit_option
@json_option
@click.pass_obj
def list_(operator: Operator, name: str | None, limit: int) -> None:
    """What is recorded, the newest first."""
    now = operator.now()
    with operator.db.read() as connection:
        number = None if name is None else appliance_of(connection, name).id
        names = {one.id: one.name for one in store.list_appliances(connection)}
        found = backups.list_backups(connection, number, limit=limit)
    if operator.out.facts(
        [
            {
                "id": one.id,
                "appliance": names[one.appliance_id],
                "made_at": at(one.made_at),
                "what": one.what,
                "recorded_by": one.recorded_by,
                "recorded_at": at(one.recorded_at),
            }
            for one in found
        ]
    ):
        return
    operator.out.table(
        (count("ID"), "APPLIANCE", "MADE", count("AGE"), Column("BY", spare=1), prose("WHAT")),
        (
            (
                one.id,
                names[one.appliance_id],
                clock_time(one.made_at),
                span(now - one.made_at),
                one.recorded_by,
                one.what,
            )
            for one in found
        ),
        empty="no backup is recorded; 'relayctl backup record APPLIANCE' does",
    )
