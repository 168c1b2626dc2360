"""relayctl domain import: many domains at once, from CSV.

The file is read and checked whole before anything is written; then it is written in slices, a short transaction each,
for nodes decide nothing while one lasts. So what is wrong with a file changes nothing, and only an import of more than
a slice can end half way: because the process does, the database goes away, or somebody changes the appliances
meanwhile. What is written then is right, and to import the same file again does the rest.
"""

from __future__ import annotations

import csv
import dataclasses
import time
from collections.abc import Iterator, Sequence
from typing import Any, TextIO

import click
from sqlalchemy import Connection

from cli import people
from cli.context import Operator, dry_run_option, json_option
from cli.domain_fields import COLUMNS, domain_values, refuse_with_mail
from cli.render import plural
from relay.appliances import bulk, store
from relay.appliances.model import Domain
from relay.errors import Refused, RelayError
from relay.mail import normalise_domain

PAUSE = 0.01
"""Seconds between two slices, in which others have their turn."""

Line = tuple[int, dict[Any, Any]]
"""The number of a line of the file, and its fields by column."""


@click.command("import")
@click.argument("file", type=click.File("r", encoding="utf-8"))
@dry_run_option
@json_option
@click.pass_obj
def import_(operator: Operator, file: TextIO, dry_run: bool) -> None:
    """Add or change many domains from a CSV file.

    The file is as 'relayctl domain export' writes it; '-' for standard input. It is checked whole before anything is
    written: where a line is wrong, nothing is imported. Up to 500 domains are then written at once, more of them in
    portions, so that nodes needn't wait; if that is interrupted, what was written stays, and importing the same file
    again does the rest.
    """
    lines = _read(file)
    added, changed = _check(operator, lines)
    if not dry_run:
        added, changed = _carry_out(operator, lines)
    verb = "would be " if dry_run else ""
    operator.out.done(
        f"{plural(added, 'domain')} {verb}added, {changed} {verb}changed",
        added=added,
        changed=changed,
        dry_run=dry_run,
    )


def _read(file: TextIO) -> list[Line]:
    """The lines of a CSV file. Raises Refused."""
    reader = csv.DictReader(file, restval="", strict=True)
    try:
        names = set(reader.fieldnames or ())
        if names - set(COLUMNS) or not {"domain", "appliance"} <= names:
            wanted = f"columns among {', '.join(COLUMNS)}; domain and appliance at least"
            raise Refused(f"the first line should name {wanted}")
        return [(reader.line_num, row) for row in reader]
    except (csv.Error, UnicodeDecodeError) as error:
        raise Refused(f"line {reader.line_num + 1} is no CSV in UTF-8: {error}") from None


def _check(operator: Operator, lines: Sequence[Line]) -> tuple[int, int]:
    """How many domains would be added and changed. Raises Refused."""
    wanted: dict[str, Domain] = {}
    added = 0
    for part in _slices(lines):
        with operator.db.read() as connection:
            found = bulk.find(connection, _names(part) - wanted.keys())
            more = _plan(connection, operator.now(), part, found | wanted, writes=False)
        added += sum(not domain.id and name not in wanted for name, domain in more.items())
        wanted |= more
    with operator.db.read() as connection:
        people.refuse_conflicts(operator, connection, instead=wanted)
    return added, len(lines) - added


def _carry_out(operator: Operator, lines: Sequence[Line]) -> tuple[int, int]:
    """How many domains were added and changed. Raises Refused, DatabaseError."""
    added = done = 0
    for part in _slices(lines):
        try:
            with operator.db.write() as connection:
                found = bulk.find(connection, _names(part))
                wanted = _plan(connection, operator.now(), part, found, writes=True)
                bulk.write(connection, list(wanted.values()))
            added += sum(not domain.id for domain in wanted.values())
            done += len(part)
            time.sleep(PAUSE if done < len(lines) else 0)
        except (RelayError, KeyboardInterrupt) as error:
            if not done and isinstance(error, RelayError):
                raise
            said = str(error).removesuffix("; nothing was imported") or "stopped"
            so_far = f"at least {done} of {len(lines)} lines are imported"
            raise Refused(f"{said}; {so_far}; importing the same file again does the rest") from error
    return added, len(lines) - added


def _slices(lines: Sequence[Line]) -> Iterator[Sequence[Line]]:
    for start in range(0, len(lines), bulk.ROWS):
        yield lines[start : start + bulk.ROWS]


def _names(lines: Sequence[Line]) -> set[str]:
    """The domains that lines are about, as they are kept; what is no name is said later."""
    names = set()
    for _, row in lines:
        try:
            names.add(normalise_domain(row["domain"]))
        except ValueError:
            continue
    return names


def _plan(
    connection: Connection, now: float, lines: Sequence[Line], found: dict[str, Domain], *, writes: bool
) -> dict[str, Domain]:
    """What lines make of the domains that are ``found``, by name; a later line for one goes by the earlier.

    ``writes``: in the transaction that carries it out. Raises Refused.
    """
    owners = bulk.find_owners(connection, {str(row["appliance"]) for _, row in lines})
    wanted: dict[str, Domain] = {}
    for number, row in lines:
        try:
            if None in row:
                raise Refused("it has more fields than the first line")
            values = domain_values({key: value for key, value in row.items() if key in COLUMNS[2:]})
            owner = owners.get(row["appliance"]) or store.get_appliance(connection, row["appliance"])
            domain = store.new_domain(now, name=row["domain"], appliance_id=owner.id, **values)
            before = wanted.get(domain.name) or found.get(domain.name)
            if before is not None:
                domain = dataclasses.replace(before, appliance_id=owner.id, **values)
            if before is None or before.appliance_id != owner.id:
                store.check_contacts(owner.contacts, domain.name)
            if before is not None and before.id and before.appliance_id != owner.id:
                refuse_with_mail(connection, before, "moved to another appliance", stop=writes)
        except Refused as error:
            raise Refused(f"line {number}: {error}; nothing was imported") from None
        wanted[domain.name] = domain
    return wanted
