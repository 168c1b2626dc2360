"""The database: durable, refused in words when it can't be used, never half written."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import text

from relay import db as relay_db
from relay.appliances import store
from relay.db import Database, upgrade
from relay.errors import DatabaseBusy, DatabaseError, DatabaseMissing, DatabaseNewer, DatabaseOutdated
from tests.support.database import make_database


def test_every_connection_reads_back_what_durability_rests_on(tmp_path: Path) -> None:
    """WAL, synchronous=FULL and incremental vacuum are there, on reading and writing connections alike."""
    database = make_database(tmp_path)
    for open_ in (database.read, database.write):
        with open_() as connection:
            found = [
                connection.execute(text(f"PRAGMA {name}")).scalar()
                for name in ("journal_mode", "synchronous", "auto_vacuum", "foreign_keys")
            ]
            assert found == ["wal", 2, 2, 1]
    database.close()


def test_a_database_without_incremental_vacuum_is_refused(tmp_path: Path) -> None:
    """A file made by something else can't give its space back, and is not used in silence."""
    path = tmp_path / "foreign.db"
    raw = sqlite3.connect(path)
    raw.execute("CREATE TABLE t (a)")
    raw.close()
    with pytest.raises(DatabaseError, match="can't promise to keep mail"):
        Database(f"sqlite:///{path}")


def test_missing_older_newer_and_damaged_are_told_apart(tmp_path: Path) -> None:
    """Each says in one line what to do."""
    url = f"sqlite:///{tmp_path / 'relay.db'}"
    with pytest.raises(DatabaseMissing, match="'relayctl init' makes one"):
        Database(url)
    _, head = upgrade(url)
    raw = sqlite3.connect(tmp_path / "relay.db")
    raw.execute("UPDATE alembic_version SET version_num = '0001_appliances'")
    raw.commit()
    with pytest.raises(DatabaseOutdated, match="run 'relayctl db upgrade'"):
        Database(url)
    raw.execute("UPDATE alembic_version SET version_num = '9999_tomorrow'")
    raw.commit()
    for use in (Database, upgrade):
        with pytest.raises(DatabaseNewer, match="newer version of this program"):
            use(url)
    raw.execute("DROP TABLE alembic_version")
    raw.close()
    with pytest.raises(DatabaseMissing, match="has no tables yet"):
        Database(url)
    (tmp_path / "relay.db").write_bytes(b"this is not a database" * 100)
    with pytest.raises(DatabaseError, match="not a database") as refusal:
        Database(url)
    assert "\n" not in str(refusal.value)
    assert head == "0001_appliances" or head > "0001"


def test_a_lock_that_lasts_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process in the middle of a write makes us wait, then say so."""
    monkeypatch.setattr(relay_db, "BUSY_TIMEOUT", 0.1)
    database = make_database(tmp_path)
    other = sqlite3.connect(tmp_path / "relay.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseBusy, match="is locked by another process"), database.write():
        pass
    other.execute("ROLLBACK")
    other.close()
    with database.write() as connection:
        store.add_appliance(connection, 0.0, name="acme")
    database.close()


def test_a_failing_write_leaves_nothing_behind(tmp_path: Path) -> None:
    """An exception rolls the whole transaction back."""
    database = make_database(tmp_path)
    with pytest.raises(RuntimeError), database.write() as connection:
        store.add_appliance(connection, 0.0, name="acme")
        raise RuntimeError
    with database.read() as connection:
        assert store.list_appliances(connection) == []
    database.close()


async def test_work_runs_in_threads_and_returns_its_value(tmp_path: Path) -> None:
    """run reads, change writes; what changed is seen by the next read."""
    database = make_database(tmp_path)
    await database.change(store.add_appliance, 0.0, name="acme")
    assert [one.name for one in await database.run(store.list_appliances)] == ["acme"]
    database.close()
