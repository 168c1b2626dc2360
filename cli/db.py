"""relayctl db: the database itself."""

from __future__ import annotations

import fcntl
import signal
import threading
from pathlib import Path

import click

from cli.context import Noun, Operator, json_option
from cli.db_backup import backup
from cli.db_check import check
from cli.db_restore import restore
from relay.clock import Clock
from relay.cluster.upgrades import in_the_way
from relay.db import Database, floor, place, revisions, upgrade
from relay.errors import DatabaseMissing, DatabaseOutdated, Refused


@click.group(cls=Noun)
def db() -> None:
    """The database itself: bring it up to date, check it, save it, bring it back."""
    if threading.current_thread() is threading.main_thread():
        # SIGTERM is like Ctrl-C: what was begun is put back, and no program of PostgreSQL's goes on alone.
        signal.signal(signal.SIGTERM, signal.default_int_handler)


@db.command("upgrade")
@json_option
@click.pass_obj
def upgrade_(operator: Operator) -> None:
    """Bring the database up to this program's version.

    Nodes of an older version may go on meanwhile where the upgrade lets them; else those in the way are named.
    """
    url = operator.settings.node.database
    where = place(url)
    where.look()
    before, after = bring_up_to_date(url)
    done = f"{where.name} is at {after}" + ("" if before == after else f", was at {before or 'nothing'}")
    operator.out.done(done, before=before, after=after)


def bring_up_to_date(url: str) -> tuple[str | None, str]:
    """(revision before, revision after). Raises Refused while a node runs that can't go on with the new database,
    DatabaseError."""
    try:
        Database(url).close()
    except DatabaseOutdated:
        where = place(url)
        older = Database(url, check=False)
        try:
            with older.read() as connection:
                running = _running(where.path) if where.path is not None else []
                blocking = in_the_way(connection, floor(), revisions(), Clock().now(), running)
        finally:
            older.close()
        if blocking:
            names = " and ".join(f"node {name}" for name in blocking)
            runs, them = ("runs", "it") if len(blocking) == 1 else ("run", "them")
            raise Refused(f"{names} {runs} on {where.name}: stop {them}, upgrade, then start {them} again") from None
    except DatabaseMissing:
        pass
    return upgrade(url)


def _running(path: Path) -> list[str]:
    """The nodes whose processes hold the lock of their name beside the database, whatever its tables look like."""
    found = []
    for lock in sorted(path.parent.glob(f"{path.name}.*.lock")):
        with lock.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                found.append(lock.name.removeprefix(f"{path.name}.").removesuffix(".lock"))
    return found


db.add_command(backup)
db.add_command(restore)
db.add_command(check)
