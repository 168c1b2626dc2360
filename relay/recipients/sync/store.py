"""The customers' directories in the database; functions work inside the caller's transaction.

What a person got wrong is :class:`relay.errors.Refused` with one plain line.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from relay.appliances import facts, store
from relay.appliances.model import Domain, RecipientPolicy
from relay.errors import Refused
from relay.recipients.sync.model import SHORTEST_EVERY, CustomerDirectory, Loss, SyncState, Taken, Tls
from relay.recipients.sync.tables import directories
from relay.recipients.sync.url import LdapUrl

FINDING = "sync"
"""Condition of the finding about a sync that fails, or waits for a word."""

_url = lru_cache(maxsize=10_000)(LdapUrl.parse)  # they are read anew whenever anything changes


@dataclass(frozen=True, slots=True)
class DirectorySync:
    """A directory, and how its sync stands."""

    directory: CustomerDirectory
    state: SyncState


def find(connection: Connection, appliance_id: int) -> DirectorySync | None:
    row = connection.execute(select(directories).where(directories.c.appliance_id == appliance_id)).first()
    return _sync(row) if row else None


def find_all(connection: Connection) -> dict[int, DirectorySync]:
    """By appliance."""
    return {row.appliance_id: _sync(row) for row in connection.execute(select(directories))}


def set_directory(connection: Connection, appliance_id: int, **changes: Any) -> CustomerDirectory:
    """Set one up, or change fields of :class:`CustomerDirectory` by name. Raises Refused.

    What its sync has brought stays, and is held against what the next one finds; that is due at once.
    """
    found = find(connection, appliance_id)
    before = found.directory if found else CustomerDirectory(appliance_id, ())
    directory = replace(before, **changes)
    _check(directory)
    values = {
        "urls": [url.text for url in directory.urls],
        "bind_dn": directory.user,
        "password_file": directory.password_file,
        "tls": str(directory.tls),
        "ca_file": directory.ca_file,
        "every": directory.every,
    }
    state = replace(found.state, tried_at=None, failures=0) if found else SyncState()
    if found:
        same = directories.c.appliance_id == appliance_id
        connection.execute(update(directories).where(same).values(**values, **_columns(state)))
    else:
        connection.execute(insert(directories).values(appliance_id=appliance_id, **values, **_columns(state)))
    facts.raise_version(connection)
    return directory


def remove_directory(connection: Connection, appliance_id: int, now: float) -> SyncState | None:
    """Forget it, and what was found wrong with it; how its sync stood, None where there was no directory. The lists
    that it brought stay."""
    found = find(connection, appliance_id)
    if found is None:
        return None
    connection.execute(delete(directories).where(directories.c.appliance_id == appliance_id))
    facts.set_finding(connection, appliance_id, "", FINDING, None, now)
    facts.raise_version(connection)
    return found.state


def set_state(connection: Connection, appliance_id: int, state: SyncState) -> None:
    """The sync alone writes this."""
    same = directories.c.appliance_id == appliance_id
    connection.execute(update(directories).where(same).values(**_columns(state)))


def listed_domains(connection: Connection, appliance_id: int) -> list[Domain]:
    """The domains whose lists the directory fills."""
    return [
        domain for domain in store.domains_of(connection, appliance_id) if domain.recipients is RecipientPolicy.LISTED
    ]


def _check(directory: CustomerDirectory) -> None:
    if not directory.urls:
        raise Refused("--directory URL is missing: where is the directory?")
    if bool(directory.user) != bool(directory.password_file):
        raise Refused("--directory-user and --directory-password-file go together ('none' for neither)")
    for option, path in (
        ("--directory-password-file", directory.password_file),
        ("--directory-ca", directory.ca_file),
    ):
        if path and not Path(path).is_absolute():
            raise Refused(f"{option} should be an absolute path: the node may run in another folder (it is {path!r})")
    if directory.every < SHORTEST_EVERY:
        raise Refused(f"--directory-every should be {SHORTEST_EVERY}s or more")


def _sync(row: Row[Any]) -> DirectorySync:
    return DirectorySync(
        CustomerDirectory(
            row.appliance_id,
            tuple(map(_url, row.urls)),
            row.bind_dn,
            row.password_file,
            Tls(row.tls),
            row.ca_file,
            row.every,
        ),
        SyncState(
            row.last_try_at,
            row.last_ok_at,
            row.failing_since,
            row.failures,
            row.last_error,
            {name: Taken(*taken) for name, taken in row.lists.items()},
            {name: Loss(*loss) for name, loss in row.losses.items()},
        ),
    )


def _columns(state: SyncState) -> dict[str, Any]:
    return {
        "last_try_at": state.tried_at,
        "last_ok_at": state.ok_at,
        "failing_since": state.failing_since,
        "failures": state.failures,
        "last_error": state.error,
        "lists": {name: [taken.count, taken.at] for name, taken in state.lists.items()},
        "losses": {name: [loss.had, loss.found] for name, loss in state.losses.items()},
    }
