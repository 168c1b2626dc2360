"""A database on a PostgreSQL server: durable or refused, in words when it can't be used, back when the server is."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from relay import postgres as relay_postgres
from relay.appliances import store
from relay.db import Database, place, upgrade
from relay.errors import DatabaseAway, DatabaseBusy, DatabaseError, DatabaseMissing
from tests.support.pgbouncer import pooler
from tests.support.postgres import PASSWORD, PostgresCluster, server
from tests.support.processes import free_port
from tests.support.waiting import wait_until


@pytest.mark.parametrize("setting", ["synchronous_commit = off", "synchronous_commit = local"])
def test_a_server_that_may_lose_what_it_has_committed_is_refused(postgres: PostgresCluster, setting: str) -> None:
    """250 means durable: settings of the database that say otherwise are named."""
    url = postgres.fresh()
    postgres.execute(f"ALTER DATABASE {url.rpartition('/')[2]} SET {setting}")
    with pytest.raises(DatabaseError, match=f"can't promise to keep mail: synchronous_commit is {setting[21:]};"):
        Database(url)


def test_text_in_an_encoding_of_its_own_is_refused(postgres: PostgresCluster) -> None:
    """What people write must come back as they wrote it."""
    postgres.execute("CREATE DATABASE ancient OWNER relay TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    with pytest.raises(DatabaseError, match="server_encoding is LATIN1"):
        upgrade(postgres.url("ancient"))
    postgres.execute("DROP DATABASE ancient")


def test_what_keeps_us_out_is_said_with_what_to_do(postgres: PostgresCluster) -> None:
    """No server, no database, a wrong password, no rights, no tables: each is one line, and none shows a password."""
    refusals: list[tuple[str, type[DatabaseError], str]] = [
        (f"postgresql://relay:{PASSWORD[:7]}@127.0.0.1:{free_port()}/relay", DatabaseAway, "can't be reached"),
        (postgres.url("nowhere"), DatabaseMissing, "createdb --template=template0 --encoding=UTF8 .*relay nowhere"),
        (postgres.url("postgres", "locked:wrong"), DatabaseAway, "doesn't let us in: password authentication failed"),
        (postgres.url("postgres", "nobody"), DatabaseAway, 'doesn\'t let us in: role "nobody" does not exist'),
        ("postgresql://[::1/relay", DatabaseError, r"\[node\] database should be postgresql://"),
        (postgres.empty(), DatabaseMissing, "has no tables yet; 'relayctl init' makes them"),
    ]
    for url, kind, words in refusals:
        with pytest.raises(kind, match=words) as refusal:
            Database(url)
        said = str(refusal.value)
        assert "\n" not in said
        assert not {"correct", "wrong"} & set(said.replace(":", " ").split())
    with pytest.raises(DatabaseError, match="permission denied .*locked should own the database"):
        upgrade(postgres.url("postgres", f"locked:{PASSWORD.replace(' ', '%20')}"))


def test_a_database_has_a_name_that_anybody_may_see() -> None:
    """Several hosts, a socket, no port: it says where, and not by what password."""
    assert {
        place(f"postgresql+psycopg://{rest}").name for rest in ("u:s@a:1,b:2/mail", "u@/mail?host=/run", "a/mail")
    } == {
        "PostgreSQL database mail at a:1, b:2",
        "PostgreSQL database mail at /run",
        "PostgreSQL database mail at a:5432",
    }


def test_two_who_upgrade_at_once_take_turns(postgres: PostgresCluster) -> None:
    """Both find it up to date in the end."""
    url = postgres.empty()
    done: list[object] = []
    both = [threading.Thread(target=lambda: done.append(upgrade(url))) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert len(done) == 2
    Database(url).close()


def test_writers_take_turns_and_what_was_read_stays_true(postgres_url: str) -> None:
    """As on SQLite: of two who raise a number that they have read neither is lost."""
    one, two = Database(postgres_url), Database(postgres_url)

    def raise_it(db: Database) -> None:
        for _ in range(50):
            with db.write() as connection:
                (before,) = connection.execute(text("SELECT version FROM facts_version")).one()
                connection.execute(text("UPDATE facts_version SET version = :next"), {"next": before + 1})

    with one.read() as connection:
        (first,) = connection.execute(text("SELECT version FROM facts_version")).one()
    both = [threading.Thread(target=raise_it, args=(db,)) for db in (one, two)]
    for writer in both:
        writer.start()
    for writer in both:
        writer.join()
    with one.read() as connection:
        assert connection.execute(text("SELECT version FROM facts_version")).scalar() == first + 100
    one.close()
    two.close()


def test_a_reader_sees_one_moment_and_writes_nothing(postgres_url: str) -> None:
    """What is committed meanwhile belongs to the next reading."""
    db = Database(postgres_url)
    with db.read() as connection:
        assert store.list_appliances(connection) == []
        with db.write() as other:
            store.add_appliance(other, 0.0, name="acme")
        assert store.list_appliances(connection) == []
    with pytest.raises(DatabaseError, match="read-only transaction"), db.read() as connection:
        store.add_appliance(connection, 0.0, name="other")
    db.close()


def test_who_waits_too_long_is_told_that_it_is_busy(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that holds on makes others wait, then say so; leases and mail don't wait for it at all."""
    monkeypatch.setattr(relay_postgres, "_WRITE", relay_postgres._WRITE.replace("= 10000", "= 100"))
    one, two = Database(postgres_url), Database(postgres_url)
    with one.write():
        with pytest.raises(DatabaseBusy, match="is busy: .*lock timeout; try again"), two.write():
            pass
        with two.write_beside() as connection:
            connection.execute(text("UPDATE cluster_secret SET id = 1"))
    one.close()
    two.close()


def test_who_falls_silent_in_a_transaction_loses_it(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that is cut off in the middle of a write doesn't hold up the others, and has written nothing."""
    monkeypatch.setattr(relay_postgres, "_WRITE", relay_postgres._WRITE.replace("= 5000", "= 100"))
    db = Database(postgres_url)
    with pytest.raises(DatabaseAway, match="idle-in-transaction"), db.write() as connection:
        store.add_appliance(connection, 0.0, name="acme")
        wait_until(lambda: _turns_held(postgres_url) == 0)
        store.list_appliances(connection)
    with db.read() as connection:
        assert store.list_appliances(connection) == []
    db.close()


def test_a_server_does_not_wait_long_for_a_node_that_is_cut_off(postgres_url: str) -> None:
    """What it has sent may go unacknowledged for ten seconds: then the node's transaction ends, with its locks."""
    db = Database(postgres_url)
    raw = db.raw()
    assert raw.execute("SHOW tcp_user_timeout").fetchone() == (str(relay_postgres.UNHEARD),)
    raw.close()
    db.close()


def _turns_held(url: str) -> int:
    with psycopg.connect(url.replace("+psycopg", "")) as raw:
        rows = raw.execute(
            "SELECT 1 FROM pg_locks JOIN pg_database AS d ON d.oid = database "
            "WHERE locktype = 'advisory' AND datname = current_database()"
        )
        return len(rows.fetchall())


def test_a_crash_of_the_server_costs_its_transactions_and_no_more(tmp_path: Path) -> None:
    """What was committed is there; the next transaction after its return works, on a new connection."""
    with server() as postgres:
        db = Database(postgres.fresh())
        heard: list[str] = []
        db.told = heard.append
        with db.write() as connection:
            store.add_appliance(connection, 0.0, name="acme")
        with pytest.raises(DatabaseAway), db.write() as connection:
            store.add_appliance(connection, 0.0, name="lost")
            postgres.stop("immediate")
            store.list_appliances(connection)
        with pytest.raises(DatabaseAway, match="can't be reached"), db.read():
            pass
        assert len(heard) == 1
        assert db.away
        postgres.start()
        with db.read() as connection:
            assert [one.name for one in store.list_appliances(connection)] == ["acme"]
        postgres.restart("immediate")
        with db.write() as connection:  # it didn't hear of this one at all
            store.add_appliance(connection, 0.0, name="other")
        assert heard[1:] == [""]
        db.close()


def test_behind_a_pooler_everything_works_but_being_told(postgres: PostgresCluster, tmp_path: Path) -> None:
    """PgBouncer in transaction mode is noticed by itself; being told needs a way past it."""
    url = postgres.fresh()
    with pooler(postgres, tmp_path) as pooled:
        db, direct = Database(pooled(url)), Database(pooled(url), direct=url)
        for number in range(20):  # often enough that a statement would be prepared
            with db.write() as connection:
                store.add_appliance(connection, 0.0, name=f"appliance{number}")
        with direct.read() as connection:
            assert len(store.list_appliances(connection)) == 20
        assert db.listener() is None
        with direct.listener() as listener:
            listener.execute("LISTEN relay")
            with db.write() as connection:
                store.add_appliance(connection, 0.0, name="last")
            assert list(listener.notifies(timeout=20, stop_after=1))
        db.close()
        direct.close()


def test_what_cannot_be_changed_is_a_ticket_s_history(postgres_url: str) -> None:
    """Whoever tries is refused by the database itself."""
    db = Database(postgres_url)
    with db.write() as connection:
        connection.execute(
            text(
                "INSERT INTO tickets (appliance, customer, condition, priority, status, waiting, opened_at, opened_by, "
                "person_decided) VALUES ('', '', 'mx', 3, 'open', false, 0, 'relay', false)"
            )
        )
        connection.execute(
            text(
                "INSERT INTO ticket_events (ticket_id, at, actor, event, reason, visible, data) "
                "VALUES (1, 0, 'relay', 'opened', '', true, '{}')"
            )
        )
    for change in ("UPDATE ticket_events SET actor = 'nobody'", "DELETE FROM ticket_events"):
        with pytest.raises(DBAPIError, match="only appended to"), db.write() as connection:
            connection.execute(text(change))
    db.close()


def test_text_that_the_server_does_not_know_is_kept_without_it(postgres_url: str) -> None:
    """NUL, which a helpdesk or a primary may say, is no reason to fail for ever."""
    db = Database(postgres_url)
    with db.write() as connection:
        store.add_appliance(connection, 0.0, name="acme", customer="A\0cme")
    with db.read() as connection:
        assert store.get_appliance(connection, "acme").customer == "A\ufffdcme"
    db.close()


def test_times_are_kept_to_the_bit(postgres_url: str) -> None:
    """A time that is read equals the time that was written."""
    db = Database(postgres_url)
    at = time.time()
    with db.write() as connection:
        store.add_appliance(connection, at, name="acme")
    with db.read() as connection:
        assert store.get_appliance(connection, "acme").created_at == at
    db.close()
