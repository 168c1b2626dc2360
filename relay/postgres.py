"""A database on a PostgreSQL server: how a connection is prepared, how transactions begin, what its errors mean.

Promises: a connection that ``open`` returns is to a server that keeps what it has committed (fsync, full_page_writes
and synchronous_commit are read back), speaks UTF-8 and takes writes; a server that has gone is noticed within seconds
(keep-alive), and so are one that hangs (relay.silence), and a node by its server; nothing that matters is kept in a
session, so that PgBouncer may share sessions between transactions. A pooler is noticed by the number of the server's
process, which it doesn't hand through; then no statement is prepared, and nothing is listened to.

Transactions that write take turns in the whole cluster, by an advisory lock of the transaction: just as on SQLite,
what a transaction has read stays true until it commits, and decisions need no reasoning about races. They are short
and few: what mail needs (relay.queue) and the leases (relay.cluster) write *beside* them, and lock their own rows.
Whoever holds the lock and falls silent is ended by the server after ``SILENCE``.
"""

from __future__ import annotations

import re
import time
from typing import Any, Literal

import psycopg
from psycopg.abc import Buffer
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.string import StrDumperUnknown

from relay.errors import (
    DatabaseAway,
    DatabaseBusy,
    DatabaseError,
    DatabaseFull,
    DatabaseMissing,
)
from relay.silence import Watch, Watched, let_go

BUSY_TIMEOUT = 10.0
"""Seconds a statement waits for a lock before it fails."""
SILENCE = 5.0
"""Seconds after which the server ends a transaction whose client says nothing: it has died, or is cut off."""
CONNECT_TIMEOUT = 5
"""Seconds, for each host."""
NOT_AGAIN = 2.0
"""Seconds for which nobody tries to connect after an attempt that has taken as long: each would take its time again."""
KEEP_ALIVE = {"keepalives": 1, "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3}
UNHEARD = 10_000
"""Milliseconds for which what was sent may stay unacknowledged, by us or by the server."""
RESTORING = "relay_restoring_"
"""How the schema is called that has what was there while something is restored in its place (relay.backup)."""
TURN = 0x52656C6179
"""The number of the advisory lock that transactions which write take turns by."""

DURABLE = {
    "fsync": {"on"},
    "full_page_writes": {"on"},
    "synchronous_commit": {"on", "remote_write", "remote_apply"},
    "server_encoding": {"UTF8"},
}
"""What the server's settings must be."""

_READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_LIMITS = (
    f"SET LOCAL lock_timeout = {int(BUSY_TIMEOUT * 1000)}; "
    f"SET LOCAL idle_in_transaction_session_timeout = {int(SILENCE * 1000)}"
)
_BESIDE = f"BEGIN; {_LIMITS}"
_WRITE = f"{_BESIDE}; SELECT pg_advisory_xact_lock({TURN})"

_AWAY = {"57P01", "57P02", "57P03", "57P05", "25006", "25P03"}
"""SQLSTATEs besides class 08: shut down, crashed, starting up, idle for too long, now a standby that only reads, silent
in a transaction."""
_BUSY = {"55P03", "40001", "40P01", "53300"}
"""No lock within the time, serialisation, deadlock, too many connections."""
_FULL = {"53100", "53200"}
"""Disk, memory."""

_FATAL = re.compile(r"FATAL: +(.+)")


class _Text(StrDumperUnknown):
    """Text as it is, but for NUL, which PostgreSQL doesn't know: what a helpdesk or a primary says may have one."""

    def dump(self, obj: str) -> Buffer | None:
        return super().dump(obj.replace("\0", "\ufffd") if "\0" in obj else obj)


class PostgresServer:
    """``url``: as libpq reads it, with ``postgresql+psycopg:`` for ``postgresql:`` if one likes; ``direct``: the same
    server without a pooler before it, or empty."""

    dialect: Literal["postgresql"] = "postgresql"
    unfinished = f"SELECT 1 FROM pg_namespace WHERE starts_with(nspname, '{RESTORING}')"  # noqa: S608
    """Has a row where a restore is under way, or was broken off: what is there may be anything."""
    engine_url = "postgresql+psycopg://"
    path = None
    errors = (psycopg.Error,)

    def __init__(self, url: str, direct: str = "") -> None:
        self._conninfo = _for_libpq(url)
        self._direct = _for_libpq(direct) if direct else ""
        self._parts = _parts(self._conninfo)
        self.name = _name(self._parts)
        """For people: never the password."""
        self._missed: dict[str, tuple[str, float]] = {}  # attempts that took long, and until when they count
        self._watch = Watch(lambda conninfo: psycopg.connect("", autocommit=True, **_how(conninfo)), CONNECT_TIMEOUT)

    def look(self) -> None:
        """There is nothing to look at before connecting."""

    def make(self) -> None:
        """A database is made by whoever runs the server; ``words`` says how."""

    def open(self, *, direct: bool = False) -> psycopg.Connection[Any]:
        """A connection in autocommit. ``direct``: past a pooler, if a way past it is known. Raises DatabaseError."""
        conninfo = self._direct if direct and self._direct else self._conninfo
        why, until = self._missed.get(conninfo, ("", 0.0))
        began = time.monotonic()
        if began < until:
            raise DatabaseAway(why)
        try:
            raw = self._connect(conninfo)
            raw.adapters.register_dumper(str, _Text)
            try:
                self._check(raw)
            except BaseException:
                raw.close()
                raise
        except psycopg.Error as cause:
            let_go(cause)
            error, now = self.words(cause), time.monotonic()
            if isinstance(error, DatabaseAway) and now - began > NOT_AGAIN:
                self._missed[conninfo] = str(error), now + NOT_AGAIN
            raise error from cause
        return raw

    def listener(self) -> psycopg.Connection[Any] | None:
        """A connection that hears NOTIFY; None where a pooler is in the way. Raises DatabaseError."""
        raw = self.open(direct=True)
        if not pooled(raw):
            return raw
        raw.close()
        return None

    def _connect(self, conninfo: str) -> psycopg.Connection[Any]:
        raw = Watched.connect("", autocommit=True, **_how(conninfo))  # we say BEGIN ourselves
        raw.conninfo = conninfo
        self._watch.add(raw)
        return raw

    def _check(self, raw: psycopg.Connection[Any]) -> None:
        """Read back what 'durable' rests on, and whether there is a pooler. Raises DatabaseError."""
        names = ", ".join(f"current_setting('{name}')" for name in DURABLE)
        ((process, *found),) = raw.execute(f"SELECT pg_backend_pid(), {names}").fetchall()
        settings = dict(zip(DURABLE, found, strict=True))
        wrong = [f"{name} is {settings[name]}" for name, wanted in DURABLE.items() if settings[name] not in wanted]
        if wrong:
            raise DatabaseError(
                f"{self.name} can't promise to keep mail: {', '.join(wrong)}; "
                "wanted fsync and full_page_writes on, synchronous_commit on, encoding UTF8"
            )
        if process != raw.info.backend_pid:
            raw.prepare_threshold = None
        else:
            # Who was cut off while the server sends holds his locks until it gives up, by itself after a quarter of an
            # hour. That is only of use to others: where a pooler is in between, this is its own to see to.
            raw.execute(f"SELECT set_config('tcp_user_timeout', '{UNHEARD}', false)")

    def begin(self, writes: bool, beside: bool) -> str:
        """The statements that begin a transaction, one round trip together."""
        if not writes:
            return _READ
        return _BESIDE if beside else _WRITE

    def ended(self, cause: BaseException) -> bool:
        """Whether a connection is of no more use after this error, though the driver doesn't know: its server has
        become a standby."""
        return getattr(cause, "sqlstate", None) == "25006"

    def words(self, cause: BaseException) -> DatabaseError:
        """What an error of the driver is for a person, in one line."""
        code = getattr(cause, "sqlstate", None) or ""
        said = _one_line(cause)
        if not code and isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError):
            return self._unconnected(cause)
        if code in _AWAY or code.startswith("08"):
            return DatabaseAway(f"{self.name} can't be reached: {said}")
        if code in _BUSY:
            return DatabaseBusy(f"{self.name} is busy: {said}; try again")
        if code in _FULL:
            return DatabaseFull(f"{self.name}: {said}")
        if code == "42501":
            return DatabaseError(f"{self.name}: {said}; {self._grant()}")
        return DatabaseError(f"{self.name}: {said}")

    def _unconnected(self, cause: BaseException) -> DatabaseError:
        """No connection: libpq gives no code for what the server says before there is one."""
        fatal = _FATAL.search(str(cause))
        said = fatal[1].strip() if fatal else _one_line(cause)
        database, user = self._parts.get("dbname"), self._parts.get("user")
        if fatal and "does not exist" in said and "database" in said:
            owner = f" --owner={user}" if user else ""
            return DatabaseMissing(
                f"{self.name}: {said}; to make it, on the server: "
                f"createdb --template=template0 --encoding=UTF8 --locale=C{owner} {database}"
            )
        if any(word in said for word in ("password", "authentication", "does not exist", "pg_hba.conf")):
            return DatabaseAway(f"{self.name} doesn't let us in: {said}; see user and password in [node] database")
        return DatabaseAway(f"{self.name} can't be reached: {said}")

    def _grant(self) -> str:
        user = self._parts.get("user") or "the relay's user"
        return f"{user} should own the database, or be granted CREATE on its schema public"


def pooled(raw: psycopg.Connection[Any]) -> bool:
    """Whether a connection that ``open`` returned goes by a pooler."""
    return raw.prepare_threshold is None


def _for_libpq(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme.partition('+')[0]}://{rest}"


def _how(conninfo: str) -> dict[str, Any]:
    return {
        "client_encoding": "UTF8",
        "fallback_application_name": "failover-relay",
        "connect_timeout": CONNECT_TIMEOUT,
        "target_session_attrs": "read-write",  # of several hosts the one that isn't a standby
        "tcp_user_timeout": UNHEARD,
        **KEEP_ALIVE,
        **_parts(conninfo),  # what the operator says goes first
    }


def _parts(conninfo: str) -> dict[str, Any]:
    """Raises DatabaseError, which doesn't repeat what may have a password in it."""
    try:
        return dict(conninfo_to_dict(conninfo))
    except psycopg.ProgrammingError:
        raise DatabaseError(
            "[node] database should be postgresql://USER:PASSWORD@HOST:PORT/DATABASE, as libpq reads it"
        ) from None


def _name(parts: dict[str, Any]) -> str:
    hosts = str(parts.get("host") or parts.get("hostaddr") or "this machine").split(",")
    ports = str(parts.get("port") or "5432").split(",")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    places = [host if host.startswith("/") else f"{host}:{port}" for host, port in zip(hosts, ports, strict=False)]
    return f"PostgreSQL database {parts.get('dbname') or parts.get('user') or ''} at {', '.join(places)}"


def _one_line(cause: BaseException) -> str:
    """What it says first; below that come guesses."""
    primary = getattr(getattr(cause, "diag", None), "message_primary", None)
    return (primary or str(cause) or type(cause).__name__).strip().partition("\n")[0]
