"""The database: durable, refused in words when it can't be used, never half written."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text

from relay import db as relay_db
from relay import sqlite
from relay.appliances import store
from relay.db import Database, upgrade
from relay.errors import DatabaseBusy, DatabaseError, DatabaseMissing, DatabaseNewer, DatabaseOutdated
from tests.support.database import make_database


@pytest.mark.sqlite_only("what a file is like")
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


@pytest.mark.sqlite_only("what a file is like")
def test_a_database_without_incremental_vacuum_is_refused(tmp_path: Path) -> None:
    """A file made by something else can't give its space back, and is not used in silence."""
    path = tmp_path / "foreign.db"
    raw = sqlite3.connect(path)
    raw.execute("CREATE TABLE t (a)")
    raw.close()
    with pytest.raises(DatabaseError, match="can't promise to keep mail"):
        Database(f"sqlite:///{path}")


@pytest.mark.sqlite_only("what a file is like")
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
    raw.execute("UPDATE compatibility SET revision = '9998_the_day_before'")
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


def test_a_newer_database_may_say_that_this_program_can_go_on(tmp_path: Path) -> None:
    """While an upgrade goes through the cluster; only upgrading it is left to the newer program."""
    database = make_database(tmp_path)
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999_tomorrow'"))
        connection.execute(text("CREATE TABLE tomorrow (a INTEGER)"))
    database.close()
    database = Database(database.url)
    with database.write() as connection:
        store.add_appliance(connection, 0.0, name="acme")
        connection.execute(text("UPDATE compatibility SET revision = '9999_tomorrow'"))
    database.close()
    for use in (Database, upgrade):
        with pytest.raises(DatabaseNewer, match="newer version of this program"):
            use(database.url)


def test_an_upgrade_keeps_the_floor_of_its_migrations(tmp_path: Path) -> None:
    """The one that all of them can live with, which is one that this program knows."""
    database = make_database(tmp_path)
    with database.read() as connection:
        kept = connection.execute(text("SELECT revision FROM compatibility")).scalars().all()
    assert kept == [relay_db.floor()]
    assert relay_db.floor() in relay_db.revisions()
    database.close()


def test_every_migration_is_known_by_its_file(tmp_path: Path) -> None:
    """What the version check reads from file names is what Alembic finds in the files, in the same order."""
    config = Config()
    config.set_main_option("script_location", str(relay_db.MIGRATIONS))
    scripts = ScriptDirectory.from_config(config)
    assert relay_db.revisions() == [script.revision for script in scripts.walk_revisions()][::-1]


@pytest.mark.sqlite_only("what a file is like")
def test_what_holds_mail_is_not_for_everybody_to_read(tmp_path: Path) -> None:
    """Neither the database nor the files beside it give others any right."""
    database = make_database(tmp_path)
    with database.write() as connection:
        store.add_appliance(connection, 0.0, name="acme")
    assert {path.name: path.stat().st_mode & 0o007 for path in tmp_path.iterdir()} == {
        "relay.db": 0,
        "relay.db-wal": 0,
        "relay.db-shm": 0,
    }
    database.close()


@pytest.mark.sqlite_only("what a file is like")
def test_reading_what_is_damaged_is_refused_in_words(tmp_path: Path) -> None:
    """Damage behind a sound first page is one line of ours, not the driver's exception."""
    database = make_database(tmp_path)
    database.close()
    path = tmp_path / "relay.db"
    whole = bytearray(path.read_bytes())
    whole[4096:] = b"\xff" * (len(whole) - 4096)
    path.write_bytes(whole)
    with pytest.raises(DatabaseError, match="malformed") as refusal:
        Database(f"sqlite:///{path}")
    assert "\n" not in str(refusal.value)


@pytest.mark.sqlite_only("what a file is like")
def test_a_lock_that_lasts_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process in the middle of a write makes us wait, then say so."""
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT", 0.1)
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
