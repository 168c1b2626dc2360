"""A PostgreSQL database into a file of pg_dump's custom format, and back: by PostgreSQL's own programs, driven by us.

They are the newest that this machine has, and have to be no older than the server. What is restored over isn't dropped:
its schema gets another name. While that goes on, it has a name by which no node begins; a process that dies then leaves
that name behind, and the next restore puts everything back first. A password is never on a command line.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, text

from relay.db import Database
from relay.errors import BackupError, DatabaseError, Refused
from relay.postgres import RESTORING, pooled

T = TypeVar("T")

SCHEMA = "public"
"""Where all of ours is; what others keep in the database is left alone."""
REPLACED = "relay_replaced_"
"""What the schema of a database that was restored over is called, with the time behind."""
ALONE = 0x526573746F7265
"""The number of the advisory lock of who restores."""
LOOK = 0.05
_LEFT_ALONE = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND application_name = 'pg_restore'
"""
"""Ends what the server does for a pg_restore that was killed: it would go on until the end of the statement."""
_PACKAGES = Path("/usr/lib/postgresql")
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")

Step = Callable[[], None]


def dump(url: str, connection: Connection, target: Path, step: Step, *, packed: bool) -> None:
    """Write what ``connection``, in a transaction that reads, sees to the new file ``target``.

    ``url``: of the same database, past a pooler; ``packed``: somebody else packs it. Raises BackupError.
    """
    program = _program("pg_dump", _server_version(connection))
    connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
    snapshot = connection.execute(text("SELECT pg_export_snapshot()")).scalar_one()
    options = ["--format=custom", f"--snapshot={snapshot}", "--no-owner", "--no-privileges", f"--file={target}"]
    _run([program, *options, f"--compress={0 if packed else 1}", f"--schema={SCHEMA}"], url, step)


def size(connection: Connection) -> int:
    """Bytes of the database, about as many as a dump of it has at most."""
    return int(connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one())


def read_through(dump_: Path, step: Step) -> None:
    """Whether pg_restore can read all of a dump, without a server. Raises BackupError."""
    _run([_program("pg_restore", 0), "--file=/dev/null", str(dump_)], None, step)


def restore(url: str, dump_: Path, make_ready: Callable[[], T], *, moment: str, keep: bool) -> tuple[str, T]:
    """Put a dump in place of what the database has; returns the name of the schema that has it now, empty where
    nothing is kept, and what ``make_ready`` returned, which works on what was restored.

    ``moment``: part of that name. Where either fails, everything is as before. Raises BackupError, DatabaseError.
    """
    aside, meanwhile = f"{REPLACED}{moment}", f"{RESTORING}{moment}"
    db = Database(url, check=False)
    try:
        with db.read() as connection:
            program = _program("pg_restore", _server_version(connection))
        with _own_words(), db.write() as connection:
            connection.execute(text(f'ALTER SCHEMA "{SCHEMA}" RENAME TO "{meanwhile}"'))
            connection.execute(text(f'CREATE SCHEMA "{SCHEMA}"'))
        try:
            options = ["--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error"]
            # A dump of an older program may hold what others keep in the database.
            _run([program, *options, f"--schema={SCHEMA}", str(dump_)], url, lambda: None)
            ready = make_ready()
        except BaseException:
            put_back(db)
            raise
        with db.write() as connection:
            done = f'RENAME TO "{aside}"' if keep else "CASCADE"
            connection.execute(text(f'{"ALTER" if keep else "DROP"} SCHEMA "{meanwhile}" {done}'))
        return aside if keep else "", ready
    finally:
        db.close()


def put_back(db: Database) -> bool:
    """End a restore that is not to go on: what was there before is there again. False where there is none."""
    with db.write() as connection:
        query = text("SELECT nspname FROM pg_namespace WHERE starts_with(nspname, :mark)")
        meanwhile = connection.execute(query, {"mark": RESTORING}).scalar()
        if meanwhile is None:
            return False
        connection.execute(text(_LEFT_ALONE))
        connection.execute(text(f'DROP SCHEMA IF EXISTS "{SCHEMA}" CASCADE'))
        connection.execute(text(f'ALTER SCHEMA "{meanwhile}" RENAME TO "{SCHEMA}"'))
        return True


@contextmanager
def alone(db: Database) -> Iterator[None]:
    """One restore at a time; behind a pooler nobody can say so. Raises Refused."""
    raw = db.raw()
    try:
        if not pooled(raw) and not raw.execute("SELECT pg_try_advisory_lock(%s)", (ALONE,)).fetchone()[0]:
            raise Refused(f"{db.name} is being restored by somebody else")
        yield
    finally:
        raw.close()


@contextmanager
def _own_words() -> Iterator[None]:
    try:
        yield
    except DatabaseError as error:
        if "owner" in str(error) or "permission" in str(error):
            raise BackupError(
                f"{error}; the relay's user has to own the database: ALTER DATABASE … OWNER TO …, "
                f"and before version 15 also ALTER SCHEMA {SCHEMA} OWNER TO …"
            ) from error
        raise


def living(db: Database, watch: float = 4.0) -> list[str]:
    """The names of the nodes that run on it: those whose counters move within ``watch`` seconds, in which a living node
    renews its lease. No time passes where all of them have stopped cleanly."""
    before = _counters(db)
    if not before:
        return []
    ends = time.monotonic() + watch
    while time.monotonic() < ends:
        time.sleep(LOOK)
        after = _counters(db)
        if moved := [name for name, counter in after.items() if before.get(name) != counter]:
            return moved
    return []


def _counters(db: Database) -> dict[str, int]:
    with db.read() as connection:
        if connection.execute(text("SELECT to_regclass('nodes')")).scalar() is None:
            return {}
        rows = connection.execute(text("SELECT name, counter FROM nodes WHERE stopped_at IS NULL"))
        return {row.name: row.counter for row in rows}


def _server_version(connection: Connection) -> int:
    return int(connection.execute(text("SELECT current_setting('server_version_num')::int / 10000")).scalar_one())


def _program(name: str, server: int) -> str:
    """The newest of that name. Raises BackupError where there is none, or it is older than the server."""
    found = {str(path) for path in _PACKAGES.glob(f"*/bin/{name}")}
    if by_path := shutil.which(name):
        found.add(by_path)
    versions = [(version, path) for path in sorted(found) if (version := _version(path))]
    if not versions:
        raise BackupError(f"needs {name}, of Debian's package postgresql-client")
    version, path = max(versions)
    if version < server:
        raise BackupError(
            f"{path} is of version {version}, and the server of version {server}: "
            f"install Debian's package postgresql-client-{server}"
        )
    return path


def _version(path: str) -> int:
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return 0
    match = _VERSION.search(said)
    return int(match[1]) if match else 0


def _run(argv: Sequence[str], url: str | None, step: Step) -> None:
    """Run a program of PostgreSQL's on a database to its end. Raises BackupError with what it said."""
    environment = {**os.environ, "LC_ALL": "C"}
    name, argv = Path(argv[0]).name, list(argv)
    if url is not None:
        from psycopg.conninfo import conninfo_to_dict, make_conninfo  # with its driver, which takes long to load

        parts: dict[str, Any] = dict(conninfo_to_dict(f"postgresql://{url.partition('://')[2]}"))
        if password := parts.pop("password", None):
            environment["PGPASSWORD"] = str(password)
        argv[1:1] = ["--no-password", f"--dbname={make_conninfo(**parts)}"]
    if mortal := shutil.which("setpriv"):
        argv[:0] = [mortal, "--pdeathsig", "KILL"]  # it doesn't go on alone, however we end
    process = subprocess.Popen(
        argv, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        while True:
            try:
                _, said = process.communicate(timeout=LOOK)
                break
            except subprocess.TimeoutExpired:
                step()
    except BaseException:
        process.kill()
        process.communicate()
        raise
    if process.returncode:
        lines = [line for line in said.splitlines() if "error" in line.lower()] or said.splitlines() or ["no reason"]
        raise BackupError(f"{name} failed: {lines[0]}")
