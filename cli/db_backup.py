"""relayctl db backup: the relay's own database as one file, while the node runs."""

from __future__ import annotations

import re
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import click

from cli.context import Operator, json_option
from cli.render import at, plural, size, span
from cli.version import version
from relay.backup import record, save
from relay.backup.save import Saved, Source
from relay.db import Database
from relay.errors import DatabaseError, DatabaseOutdated, Refused

_STAMP = r"\d{8}T\d{6}Z\.tar(\.zst)?"


@click.command("backup")
@click.argument("target", metavar="FILE|FOLDER|-")
@click.option("--keep", type=click.IntRange(1), help="Of the backups of this node in FOLDER, keep the newest so many.")
@click.option("--zstd", "packed", is_flag=True, help="Pack it: smaller where mail is, much smaller where none is.")
@json_option
@click.pass_obj
def backup(operator: Operator, target: str, keep: int | None, packed: bool) -> None:
    """Save the database to a file, while nodes run and take mail.

    To FILE, to a new file in FOLDER, or to standard output (-). The backup shows one moment, is looked through, and
    is a tar that tells its version and checksums. A backup that was there before is replaced only by a whole new one,
    and anything else by none.
    On PostgreSQL pg_dump does it.

    \b
    relayctl db backup /srv/backup/ --keep 7
    relayctl db backup - --zstd | ssh vault 'cat >relay.tar.zst'
    """
    settings = operator.settings
    source = Source(
        settings.node.database_direct or settings.node.database,
        settings.limits.min_disk_free,
        version(),
        settings.node.name,
    )
    folder = Path(target) if target.endswith("/") or Path(target).is_dir() else None
    if keep is not None and folder is None:
        raise click.UsageError("--keep is for a folder")
    if target == "-":
        saved = _to_stdout(operator, source, packed)
    elif folder is not None:
        name = f"relay-{settings.node.name}-{datetime.fromtimestamp(operator.now(), UTC):%Y%m%dT%H%M%SZ}.tar"
        saved = save.to_file(source, folder / (name + ".zst" if packed else name), operator.clock, packed=packed)
    else:
        saved = save.to_file(source, Path(target), operator.clock, packed=packed)
    noted = _note(operator, saved)
    removed = _rotate(folder, settings.node.name, keep) if folder and keep and saved.made.sound else []
    _tell(operator, saved, noted, removed, quiet=target == "-")


def _to_stdout(operator: Operator, source: Source, packed: bool) -> Saved:
    if sys.stdout.isatty() or operator.out.as_json:
        raise Refused("a backup would come out raw: use a pipe, or name a file")
    return save.to_stream(
        source,
        sys.stdout.buffer,
        operator.clock,
        packed=packed,
        beside=Path(tempfile.gettempdir()),
        place="standard output",
    )


def _note(operator: Operator, saved: Saved) -> bool:
    """Note it in the database that was saved; False where that is of an older version, which has no room for it."""
    url = operator.settings.node.database
    try:
        database = Database(url)
    except DatabaseOutdated:
        return False
    try:
        with database.write() as connection:
            record.remember(connection, saved.made)
    except DatabaseError as error:
        raise Refused(f"the backup is at {saved.made.place}, but that couldn't be noted: {error}") from error
    finally:
        database.close()
    return True


def _rotate(folder: Path, node: str, keep: int) -> list[Path]:
    """Remove the oldest; the time in their names counts."""
    ours = re.compile(rf"relay-{re.escape(node)}-{_STAMP}")
    found = sorted((path for path in folder.iterdir() if ours.fullmatch(path.name)), key=lambda path: path.name)
    for path in found[:-keep]:
        path.unlink(missing_ok=True)
    return found[:-keep]


def _tell(operator: Operator, saved: Saved, noted: bool, removed: list[Path], *, quiet: bool) -> None:
    about, made = saved.manifest, saved.made
    counts = about.counts
    line = (
        f"{made.place}: {size(made.size)} in {span(made.seconds)}, with {plural(counts.messages, 'message')} "
        f"({plural(counts.queued, 'recipient')} queued, {counts.held} held)"
    )
    if not noted:
        line += "; it is not noted: the database is older than this program ('relayctl db upgrade')"
    elif not about.checked:
        line += "; looked through only when it is restored"
    if removed:
        line += f"; {plural(len(removed), 'older one')} removed"
    if quiet:
        click.echo(line, err=True)
    else:
        operator.out.done(
            line,
            place=made.place,
            size=made.size,
            seconds=round(made.seconds, 3),
            removed=[str(path) for path in removed],
            **{name: value for name, value in about.facts().items() if name not in ("size", "made", "made_at")},
            made_at=at(about.made_at),
        )
    if about.faults:
        faults = plural(len(about.faults), "fault")
        raise Refused(f"the backup is there, but {faults} found in it: {about.faults[0]}; see 'relayctl db check'")
