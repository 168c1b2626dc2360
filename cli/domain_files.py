"""relayctl domain import and export: many domains at once, as CSV."""

from __future__ import annotations

import csv
import sys
from typing import Any, TextIO

import click
from sqlalchemy import Connection

from cli import people
from cli.context import Operator, dry_run_option, json_option
from cli.domain_fields import COLUMNS, appliance_names, domain_values, refuse_with_mail
from cli.render import plural
from relay.appliances import store
from relay.errors import Refused


@click.command("import")
@click.argument("file", type=click.File("r", encoding="utf-8"))
@dry_run_option
@json_option
@click.pass_obj
def import_(operator: Operator, file: TextIO, dry_run: bool) -> None:
    """Add or change many domains from a CSV file, all or none.

    The file is as 'relayctl domain export' writes it; '-' for standard input.
    """
    lines = _read(file)  # all of it, before a transaction keeps others waiting
    added = changed = 0
    with operator.db.write() as connection:
        for number, row in lines:
            try:
                if _import_line(connection, operator.now(), row):
                    added += 1
                else:
                    changed += 1
            except Refused as error:
                raise Refused(f"line {number}: {error}; nothing was imported") from None
        people.refuse_conflicts(operator, connection)
        if dry_run:
            connection.rollback()
    verb = "would be" if dry_run else "were"
    operator.out.done(
        f"{plural(added, 'domain')} {verb} added, {changed} {verb} changed",
        added=added,
        changed=changed,
        dry_run=dry_run,
    )


def _read(file: TextIO) -> list[tuple[int, dict[str, str]]]:
    """The lines of a CSV file, by number. Raises Refused."""
    reader = csv.DictReader(file, restval="", strict=True)
    try:
        names = set(reader.fieldnames or ())
        if names - set(COLUMNS) or not {"domain", "appliance"} <= names:
            wanted = f"columns among {', '.join(COLUMNS)}; domain and appliance at least"
            raise Refused(f"the first line should name {wanted}")
        return [(reader.line_num, row) for row in reader]
    except (csv.Error, UnicodeDecodeError) as error:
        raise Refused(f"line {reader.line_num + 1} is no CSV in UTF-8: {error}") from None


def _import_line(connection: Connection, now: float, row: dict[Any, Any]) -> bool:
    """Add (True) or change one domain. Raises Refused."""
    if None in row:
        raise Refused("it has more fields than the first line")
    values = domain_values({key: value for key, value in row.items() if key in COLUMNS[2:]})
    owner = store.get_appliance(connection, row["appliance"])
    found = store.find_domain(connection, row["domain"])
    if found is None:
        store.add_domain(connection, now, name=row["domain"], appliance_id=owner.id, **values)
        return True
    if found.appliance_id != owner.id:
        refuse_with_mail(connection, found, "moved to another appliance")
        values["appliance_id"] = owner.id
    store.set_domain(connection, found.name, **values)
    return False


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
