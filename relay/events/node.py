"""The node and its cluster: start and end, what goes wrong, clock and database; who owns what."""

from __future__ import annotations

from collections.abc import Sequence

from relay.errors import DatabaseAway, RelayError
from relay.events.metrics import counter, faults, gauge, log

_loop_delays = counter("loop_delays_total", "Times the event loop was held for over 250 ms")
_database = gauge("database_reachable", "1 while the database can be reached, 0 while it can't")
_database.set(1)
_disk_free = gauge("disk_free_bytes", "Room left for mail")
_log_failures = counter("log_failures_total", "Times that the log could not be written")
_drift = gauge("clock_drift_seconds", "Wall clock minus the node's own time")
_skew = gauge("clock_skew_seconds", "The node's own time minus the clock of the database's server")
_last_backup = gauge("last_backup_timestamp_seconds", "When the database was last saved (POSIX time); 0: not known")


def started(node: str, version: str, listeners: list[str]) -> None:
    log.info("node started", node=node, version=version, listeners=listeners)


def stopping(node: str, reason: str) -> None:
    log.info("node stopping", node=node, reason=reason)


def stopped(node: str) -> None:
    log.info("node stopped", node=node)


def reloaded(needs_restart: list[str]) -> None:
    """SIGHUP was obeyed; ``needs_restart``: what was changed in the file and waits for a restart."""
    log.info("settings and certificates reloaded", needs_restart=needs_restart)


def reload_refused(reason: str) -> None:
    log.error("reload refused, the old settings stay", reason=reason)


def fault(where: str, error: BaseException) -> None:
    """Something unexpected, survived; ``where`` is one of a few fixed words (it is a label).

    What has words of its own (RelayError) needs no traceback. A database that is away is said once, by
    :func:`database`, and not by each part that needs it, again and again.
    """
    if isinstance(error, DatabaseAway):
        return
    faults.labels(where).inc()
    where_from = None if isinstance(error, RelayError) else error
    log.error("fault", where=where, error=f"{type(error).__name__}: {error}", exc_info=where_from)


def database(why: str) -> None:
    """The database can't be reached any more, and ``why``; or, where that is empty, it can again."""
    _database.set(not why)
    if why:
        log.error("database away: mail is put off (451) until it is back", why=why)
    else:
        log.warning("database back")


def log_lost() -> None:
    """A line could not be written: there is nowhere to say so but here."""
    _log_failures.inc()


def loop_delayed(seconds: float) -> None:
    _loop_delays.inc()
    log.warning("event loop was held", seconds=round(seconds, 3))


def disk_free(size: int) -> None:
    _disk_free.set(size)


def last_backup(made_at: float) -> None:
    _last_backup.set(made_at)


def clock_drifted(seconds: float) -> None:
    _drift.set(seconds)
    log.warning("the wall clock was set", drift_seconds=round(seconds))


def clock_skew(seconds: float) -> None:
    """As of the last renewal of the lease."""
    _skew.set(seconds)


def clock_skewed(seconds: float) -> None:
    """The node counts with another time than the database's server, and so perhaps than other nodes."""
    log.warning("the time differs from the database server's", skew_seconds=round(seconds))


def clock_agrees(seconds: float) -> None:
    """It did so, and no longer does."""
    log.info("the time agrees with the database server's again", skew_seconds=round(seconds))


def appliance_taken(node: str, appliances: int) -> None:
    log.info("owner of appliances", node=node, taken=appliances)


def handed_over(node: str, appliances: int, to: Sequence[str]) -> None:
    """So many appliances have other owners now, in good order."""
    log.info("appliances handed over", node=node, appliances=appliances, to=list(to))


def lease_lost(node: str, reason: str) -> None:
    log.error("lease lost: nothing new is begun", node=node, reason=reason)


def lease_regained(node: str) -> None:
    log.info("lease renewed again", node=node)
