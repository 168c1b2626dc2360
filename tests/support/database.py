"""A real, migrated database in a folder of the test's own, and a Gold domain in it.

Tests of what is mostly SQL run on both engines: ``pytestmark = pytest.mark.usefixtures("engine")``. The others have
SQLite.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.appliances import store
from relay.appliances.model import Domain, RecipientPolicy
from relay.db import Database, upgrade
from tests.support.postgres import PostgresCluster

_servers: list[PostgresCluster] = []
"""Where databases are made at present; none: in files."""
_made: dict[Path, str] = {}
"""The database that stands for a folder's file."""


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """The test runs on each engine."""
    if request.param == "sqlite":
        yield request.param
        return
    cluster: PostgresCluster = request.getfixturevalue("postgres")
    _servers.append(cluster)
    yield request.param
    _servers.clear()
    _made.clear()
    cluster.drop_all()


def make_database(folder: Path) -> Database:
    """A database of this program's version, on the engine of the test: empty, or the one that was made for this folder
    before. The caller closes it."""
    if _servers:
        if folder not in _made:
            _made[folder] = _servers[0].fresh()
        return Database(_made[folder], folder=folder)
    url = f"sqlite:///{folder / 'relay.db'}"
    upgrade(url)
    return Database(url)


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
