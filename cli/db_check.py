"""relayctl db check: whether the database, or a backup of it, is sound."""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from cli.context import Operator, json_option
from cli.render import clock_time, plural, size, span
from relay.backup import archive, postgres
from relay.backup import check as checks
from relay.backup.manifest import Manifest
from relay.backup.scratch import scratch
from relay.db import Database, revisions, upgrade
from relay.errors import BackupError, Refused

SOUND = "the database is sound, and the ledger agrees with the mail"
REMEDY = (
    "→ let a running node go on: what it hands back is safe. Save what there is ('relayctl db backup', "
    "'relayctl queue export'), then see 'The database is damaged' in deploy/runbook.md"
)


@click.command("check")
@click.option("--file", "backup", metavar="BACKUP", help="A backup instead of the database; - for standard input.")
@json_option
@click.pass_obj
def check(operator: Operator, backup: str | None) -> None:
    """Check the database and its mail; exit 1 if anything is wrong.

    Works beside running nodes: what the engine finds, whether ledger and mail agree, whether each content can be
    read. With --file a backup: its checksums first, then the same of the database in it (of PostgreSQL: that
    pg_restore can read it all). It is unpacked below $TMPDIR.
    """
    if backup is not None:
        _check_backup(operator, backup)
        return
    faults = checks.faults(operator.db, lambda: None)
    if not operator.out.facts({"ok": not faults, "faults": faults}):
        _tell(operator, faults, SOUND)
        if faults:
            operator.out.line(REMEDY)
    if faults:
        raise Refused(f"{plural(len(faults), 'fault')} found in {operator.db.name}")


def _check_backup(operator: Operator, backup: str) -> None:
    with ExitStack() as stack:
        source = sys.stdin.buffer if backup == "-" else stack.enter_context(Path(backup).open("rb"))
        folder = stack.enter_context(scratch(Path(tempfile.gettempdir())))
        try:
            about, database = archive.unpack(source, folder, lambda: None)
            faults = _look_through(about, database)
        except BackupError as error:
            raise BackupError(f"{backup}: {error}") from error
    facts: dict[str, Any] = {"ok": not faults, "faults": faults, "backup": about.facts()}
    if not operator.out.facts(facts):
        counts = about.counts
        operator.out.line(
            f"{backup}: made {clock_time(about.made_at)} ({span(operator.now() - about.made_at)} ago) by "
            f"{about.made_by}, version {about.version}, {size(about.size)}: {plural(counts.messages, 'message')}, "
            f"{plural(counts.queued, 'recipient')} queued, {counts.held} held"
        )
        whole = about.engine == "sqlite"
        _tell(operator, faults, SOUND if whole else "it is whole; what is in it is looked through when it is restored")
        if faults:
            operator.out.line("→ make another ('relayctl db backup'), and 'relayctl db check' where it was made")
    if faults:
        raise Refused(f"{plural(len(faults), 'fault')} found in {backup}")


def _look_through(about: Manifest, database: Path) -> list[str]:
    current = about.check_revision(revisions())
    if about.engine == "postgresql":
        postgres.read_through(database, lambda: None)
        return []
    url = f"sqlite:///{database}"
    if not current:
        upgrade(url)  # of our copy: this program knows what should be in its own version
    db = Database(url)
    try:
        return checks.faults(db, lambda: None)
    finally:
        db.close()


def _tell(operator: Operator, faults: list[str], sound: str) -> None:
    for line in faults or [sound]:
        operator.out.line(line, "bold red" if faults else "green")
