"""A real, migrated database in a folder of the test's own, and a Gold domain in it.

Tests of what is mostly SQL run on both engines: ``pytestmark = pytest.mark.usefixtures("engine")``. The others have
SQLite; with ``--engine postgresql`` they have PostgreSQL, all but those that are marked ``sqlite_only``.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from relay.appliances import store
from relay.appliances.model import Domain, RecipientPolicy
from relay.db import Database, metadata, upgrade
from tests.support.postgres import PostgresCluster

LOCAL = "sqlite:///relay.db"
"""As relay.toml has the database beside it."""

_servers: list[PostgresCluster] = []
"""The last is where databases are made at present; none: in files."""
_made: dict[Path, str] = {}
"""The database that stands for a folder's file."""


@contextmanager
def made_on(cluster: PostgresCluster) -> Iterator[None]:
    """Databases are made on that server until the block ends."""
    _servers.append(cluster)
    try:
        yield
    finally:
        _servers.pop()


@contextmanager
def passing(cluster: PostgresCluster) -> Iterator[None]:
    """What databases are made within the block are gone after it."""
    before = dict(_made)
    with cluster.passing():
        yield
    _made.clear()
    _made.update(before)


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """The test runs on each engine."""
    if request.param == "sqlite":
        yield request.param
        return
    cluster: PostgresCluster = request.getfixturevalue("postgres")
    with made_on(cluster), passing(cluster):
        yield request.param


def on_a_server() -> bool:
    """Whether databases are made on a server at present."""
    return bool(_servers)


def database_url(folder: Path, *, empty: bool = False) -> str:
    """Of this folder's database, on the engine of the test; where it is on a server it is there, without tables where
    ``empty`` says so."""
    if not _servers:
        return f"sqlite:///{folder / 'relay.db'}"
    if folder not in _made:
        _made[folder] = _servers[-1].empty() if empty else _servers[-1].fresh()
    return _made[folder]


def placed(folder: Path, settings: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """A node's settings with this folder's database in them where that is on a server, if they name no other one."""
    node, limits = settings.get("node", {}), settings.get("limits", {})
    if not _servers or node.get("database", LOCAL) != LOCAL:
        return {**settings}
    ours = {"database": database_url(folder), "folder": str(folder / "own")}
    # Of a file it is known what room there is for it.
    return {**settings, "node": {**node, **ours}, "limits": {"database_capacity": "100GB", **limits}}


def reach_from_everywhere(folder: Path) -> None:
    """This folder's database is reached from a network of the test's own too, where a server has no address."""
    if _servers:
        _made[folder] = _servers[-1].by_path(database_url(folder))


def make_database(folder: Path) -> Database:
    """A database of this program's version, on the engine of the test: empty, or the one that was made for this folder
    before. The caller closes it."""
    url = database_url(folder)
    if not _servers:
        upgrade(url)
    return Database(url, folder=folder)


def open_database(folder: Path, *, check: bool = True) -> Database:
    """The one that was made for this folder before; ``check=False``: of whatever version."""
    return Database(database_url(folder), folder=folder, check=check)


def copy_database(folder: Path, to: Path) -> None:
    """All of a folder, and its database, which nobody has open at present."""
    shutil.copytree(folder, to, dirs_exist_ok=True)
    if _servers:
        _made[to] = _servers[-1].copy_of(_made[folder], _made.get(to))


def everything_in(database: Database) -> str:
    """All that is in it, to look for what must not be."""
    with database.read() as connection:
        return "\n".join(str(connection.execute(select(table)).all()) for table in metadata.sorted_tables)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    """An empty database, for a conftest to offer."""
    database = make_database(tmp_path)
    yield database
    database.close()


def add_domain(db: Database, recipients: RecipientPolicy, *, name: str = "gold.example", now: float = 0.0) -> Domain:
    """A Gold domain with an appliance of its own."""
    with db.write() as connection:
        appliance = store.add_appliance(connection, now, name=name)
        return store.add_domain(connection, now, name=name, appliance_id=appliance.id, recipients=recipients)
