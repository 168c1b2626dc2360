"""relayctl db: the database itself."""

from __future__ import annotations

import click

from cli.context import Operator, json_option
from cli.render import plural
from relay.db import database_path, upgrade
from relay.errors import DatabaseMissing, Refused
from relay.queue.verify import verify


@click.group()
def db() -> None:
    """The database: bring it up to date, check it."""


@db.command("upgrade")
@json_option
@click.pass_obj
def upgrade_(operator: Operator) -> None:
    """Bring the database up to this program's version; stop the node before, start it after."""
    url = operator.settings.node.database
    if not database_path(url).is_file():
        raise DatabaseMissing(f"no database at {database_path(url)}; 'relayctl init' makes one")
    before, after = upgrade(url)
    done = f"{database_path(url)} is at {after}" + ("" if before == after else f", was at {before or 'nothing'}")
    operator.out.done(done, before=before, after=after)


@db.command("check")
@json_option
@click.pass_obj
def check(operator: Operator) -> None:
    """Check the file, and that ledger and mail agree; exit 1 if anything is wrong."""
    with operator.db.read() as connection:
        faults = verify(connection)
    if not operator.out.facts({"ok": not faults, "faults": faults}):
        operator.out.line("the database is sound, and the ledger agrees with the mail" if not faults else "", "green")
        for fault in faults:
            operator.out.line(fault, "bold red")
    if faults:
        raise Refused(f"{plural(len(faults), 'fault')} found in {operator.db.path}")
