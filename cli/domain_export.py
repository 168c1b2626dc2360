"""relayctl domain export: all domains as CSV."""

from __future__ import annotations

import csv
import sys

import click

from cli.context import Operator
from cli.domain_fields import COLUMNS, appliance_names
from relay.appliances import store


@click.command("export")
@click.pass_obj
def export(operator: Operator) -> None:
    """Write all domains as CSV to standard output."""
    with operator.db.read() as connection:
        names = appliance_names(connection)
        found = store.list_domains(connection)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in found:
        lifetime = f"{one.lifetime}s"
        quotas = (one.quota, one.quota_messages)
        until = one.until.isoformat() if one.until else "none"
        own = (one.name, names[one.appliance_id], one.recipients, one.when_up, lifetime, *quotas, until)
        writer.writerow((*own, one.never_seen, one.plus_addressing or "none"))
