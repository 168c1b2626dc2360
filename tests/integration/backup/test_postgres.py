"""Backups of a PostgreSQL database: by its own programs, of one moment, and back in place of what is there."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import insert, select, text, update

from relay.appliances import store
from relay.appliances.model import Primary
from relay.backup import postgres as programs
from relay.backup.record import last_restore, last_sound
from relay.cluster.tables import nodes
from relay.db import Database
from relay.queue.content import pack
from relay.queue.tables import PLACES, content, depths, ledger, messages, numbers, recipients
from tests.integration.cli.console import SETTINGS, Relayctl
from tests.support.postgres import PostgresCluster
from tests.support.waiting import wait_until

WAITING = 30
SILENT = {"hostname": "h", "version": "1", "listeners": [], "drift": 0.0, "isolated": "", "started_at": 1.0}


@pytest.fixture
def relayctl(tmp_path: Path, postgres_url: str) -> Relayctl:
    """With a database that has mail."""
    found = on(tmp_path / "here", postgres_url)
    db = Database(postgres_url)
    with db.write() as connection:
        appliance = store.add_appliance(connection, 1.0, name="acme", primaries=(Primary("192.0.2.25"),))
        store.add_domain(connection, 1.0, name="acme.example", appliance_id=appliance.id, quota=10**9)
        for number in range(1, WAITING + 1):
            packed, data = pack(b"A letter.\r\n" * number)
            connection.execute(insert(content).values(id=number * PLACES, packed=packed, data=data))
            connection.execute(
                insert(messages).values(
                    id=number,
                    appliance_id=appliance.id,
                    content_id=number,
                    shared=False,
                    sender="ann@elsewhere.example",
                    size=11 * number,
                    received_at=float(number),
                    message_id="",
                    body="8BITMIME",
                    smtputf8=False,
                    client_ip="192.0.2.7",
                    client_port=4711,
                    client_helo="h",
                    client_protocol="ESMTP",
                )
            )
            connection.execute(
                insert(recipients).values(
                    id=number * PLACES,
                    message_id=number,
                    appliance_id=appliance.id,
                    domain="acme.example",
                    address=f"user{number}@acme.example",
                    state="queued",
                    attempts=0,
                    last_reply="",
                    outage_id=0,
                )
            )
        fates = {"delivered": 0, "bounced": 0, "expired": 0, "dropped": 0, "queued": WAITING, "held": 0}
        connection.execute(
            insert(ledger).values(domain="acme.example", node="n1", outage_id=0, accepted=WAITING, **fates)
        )
        size = sum(11 * number for number in range(1, WAITING + 1))
        connection.execute(
            insert(depths).values(
                appliance_id=appliance.id,
                domain="acme.example",
                node="n1",
                queued=WAITING,
                held=0,
                bytes=size,
                messages=WAITING,
            )
        )
        connection.execute(update(numbers).values(message=WAITING, content=WAITING))
    db.close()
    return found


@pytest.fixture
def elsewhere(tmp_path: Path, postgres: PostgresCluster) -> Relayctl:
    """With a database that has no tables yet."""
    return on(tmp_path / "elsewhere", postgres.empty())


def on(folder: Path, url: str) -> Relayctl:
    folder.mkdir()
    (folder / "relay.toml").write_text(SETTINGS.replace("sqlite:///relay.db", url))
    return Relayctl(folder)


def database(relayctl: Relayctl) -> Database:
    (line,) = (line for line in relayctl.config.read_text().splitlines() if line.startswith("database ="))
    return Database(line.split('"')[1])


@pytest.mark.parametrize("packed", [[], ["--zstd"]], ids=["plain", "zstd"])
def test_a_backup_is_restored_into_an_empty_database(
    relayctl: Relayctl, elsewhere: Relayctl, packed: list[str]
) -> None:
    """All of its mail is there, and nobody seems to live on it."""
    db = database(relayctl)
    with db.write() as connection:
        connection.execute(insert(nodes).values(name="n7", instance="i", counter=7, heartbeat_at=2.0, **SILENT))
    with db.read() as connection:
        mail = connection.execute(select(content).order_by(content.c.id)).all()
    target = relayctl.folder / "saved.tar"
    told = relayctl.json("db", "backup", target, *packed)
    assert (told["engine"], told["counts"]["messages"], told["counts"]["queued"]) == ("postgresql", WAITING, WAITING)
    assert relayctl.json("db", "check", "--file", target)["ok"]
    with db.read() as connection:
        assert last_sound(connection) is not None
    db.close()
    facts = elsewhere.json("db", "restore", target)
    assert facts["replaced"] is None
    restored = database(elsewhere)
    with restored.read() as connection:
        assert connection.execute(select(content).order_by(content.c.id)).all() == mail
        assert connection.execute(select(nodes.c.stopped_at)).scalar_one() is not None
        assert connection.execute(select(numbers.c.message)).scalar_one() >= 1_000_000
        assert last_restore(connection) is not None
    restored.close()
    assert elsewhere.json("ticket", "open", "acme", "-m", "no mail")["id"] == 10_000
    assert elsewhere.json("db", "check")["ok"]
    assert elsewhere.json("status")["domains"][0]["queued"] == WAITING


def test_what_a_restore_replaces_is_kept_in_a_schema_of_its_own(relayctl: Relayctl) -> None:
    """Time and again; backups leave it out, and what there is now is what counts."""
    target = relayctl.folder / "saved.tar"
    relayctl.does("db", "backup", target)
    assert "isn't empty (30 messages" in relayctl.refuses("db", "restore", target)
    for turn in range(2):
        db = database(relayctl)
        with db.write() as connection:
            connection.execute(update(ledger).values(accepted=ledger.c.accepted + 5, delivered=5))
        db.close()
        told = relayctl.json("db", "restore", target, "--force", "--yes")
        assert "mail for 5 recipients was accepted, which isn't in it" in told["said"][1]
        db = database(relayctl)
        schema = told["replaced"].removeprefix("schema ")
        with db.read() as connection:
            kept = connection.execute(text(f'SELECT accepted FROM "{schema}".ledger')).scalar_one()  # noqa: S608
            assert (kept, connection.execute(select(ledger.c.accepted)).scalar_one()) == (WAITING + 5, WAITING)
        with db.write() as connection:  # the second one within a second would have its name
            connection.execute(text(f'ALTER SCHEMA "{schema}" RENAME TO "relay_replaced_{turn}"'))
        db.close()
        relayctl.does("db", "backup", target)
    assert relayctl.json("db", "check")["ok"]


def test_what_others_keep_in_the_database_is_left_alone(relayctl: Relayctl, postgres: PostgresCluster) -> None:
    """Also where the relay may not even read it; and it is no part of a backup."""
    db = database(relayctl)
    name = db.url.rpartition("/")[2]
    db.close()
    for statement in ("CREATE SCHEMA theirs", "CREATE TABLE theirs.stock AS SELECT 1 AS number"):
        postgres.execute(statement, name)
    target = relayctl.folder / "saved.tar"
    relayctl.does("db", "backup", target)
    postgres.execute("UPDATE theirs.stock SET number = 2", name)
    relayctl.does("db", "restore", target, "--force", "--yes")
    assert relayctl.json("db", "check")["ok"]
    assert postgres.execute("SELECT number FROM theirs.stock", name) == [(2,)]


def test_a_restore_that_fails_leaves_everything_as_it_was(relayctl: Relayctl, elsewhere: Relayctl) -> None:
    """What the dump holds isn't sound: that is found out in the very place, and then it goes from there again."""
    elsewhere.does("init")
    db, other = database(relayctl), database(elsewhere)
    with db.write() as connection:
        connection.execute(update(ledger).values(accepted=ledger.c.accepted + 1))
    db.close()
    target = relayctl.folder / "saved.tar"
    relayctl.does("db", "backup", target)
    with other.write() as connection:
        connection.execute(text("CREATE TABLE mark (id INTEGER)"))
    assert "it is not sound: ledger of acme.example" in elsewhere.refuses("db", "restore", target)
    with other.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM mark")).scalar_one() == 0
        schemas = connection.execute(text("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'relay%'")).all()
        assert schemas == []
    other.close()
    elsewhere.does("db", "restore", target, "--force")
    assert elsewhere("db", "check").status == 1


def test_a_restore_that_was_killed_is_no_database(relayctl: Relayctl, tmp_path: Path) -> None:
    """No node begins on what it left, nor does anybody make tables there; the next restore puts back what was there."""
    target = relayctl.folder / "saved.tar"
    relayctl.does("db", "backup", target)
    (real,) = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_restore"))[-1:]
    env = spy(tmp_path, f'{real} "$@"; echo $$ >{tmp_path}/pid; exec sleep 60', "pg_restore")
    argv = relayctl.argv("db", "restore", str(target), "--force", "--yes")
    with subprocess.Popen(argv, env={**os.environ, **env}) as process:
        wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
        assert "is being restored by somebody else" in relayctl.refuses("db", "restore", target, "--force", "--yes")
        process.kill()
    for words in (["serve"], ["status"], ["init"], ["db", "upgrade"]):
        assert "a restore is under way, or was broken off" in relayctl.refuses(*words)
    told = relayctl("db", "restore", target)
    assert told.status == 1
    assert "what was there before it is there again" in told.err
    assert "isn't empty (30 messages" in told.err
    assert relayctl.json("status")["domains"][0]["queued"] == WAITING
    relayctl.does("db", "restore", target, "--force", "--yes")
    assert relayctl.json("db", "check")["ok"]


@contextmanager
def stands_still(postgres: PostgresCluster, url: str) -> Iterator[None]:
    """Within the block a restore stands still once all data are there, and before anything is committed."""
    name = url.rpartition("/")[2]
    for statement in (
        "CREATE SCHEMA obstacle",
        "CREATE TABLE obstacle.there AS SELECT 1",
        "GRANT USAGE ON SCHEMA obstacle TO PUBLIC",
        "GRANT SELECT ON obstacle.there TO PUBLIC",
        "CREATE FUNCTION obstacle.wait() RETURNS event_trigger LANGUAGE plpgsql AS "
        "$$ BEGIN IF EXISTS (SELECT FROM obstacle.there) THEN PERFORM pg_sleep(300); END IF; END $$",
        "CREATE EVENT TRIGGER wait ON ddl_command_start WHEN TAG IN ('CREATE INDEX') EXECUTE FUNCTION obstacle.wait()",
    ):
        postgres.execute(statement, name)
    yield
    postgres.execute("DELETE FROM obstacle.there", name)


def test_a_restore_whose_processes_are_all_killed_half_way_is_done_by_the_next_one(
    relayctl: Relayctl, postgres: PostgresCluster
) -> None:
    """No node begins on the half; what the server still did for the dead isn't waited for."""
    target = relayctl.folder / "saved.tar"
    relayctl.does("db", "backup", target)
    asleep = "SELECT pid FROM pg_stat_activity WHERE application_name = 'pg_restore' AND wait_event = 'PgSleep'"
    argv = relayctl.argv("db", "restore", str(target), "--force", "--yes")
    db = database(relayctl)
    with stands_still(postgres, db.url), subprocess.Popen(argv, start_new_session=True) as process:
        wait_until(lambda: postgres.execute(asleep), timeout=60)
        os.killpg(process.pid, signal.SIGKILL)
    db.close()
    node = relayctl.process("serve")
    assert node.returncode == 1
    assert node.stderr.count("\n") == 1
    assert "a restore is under way, or was broken off; then 'relayctl db restore' again puts back" in node.stderr
    assert postgres.execute(asleep), "the server doesn't know yet that nobody waits for it"
    relayctl.does("db", "restore", target, "--force", "--yes")
    assert relayctl.json("db", "check")["ok"]
    assert relayctl.json("status")["domains"][0]["queued"] == WAITING
    assert not postgres.execute(asleep)


def test_a_database_that_a_node_lives_on_is_not_replaced(relayctl: Relayctl) -> None:
    """One lives whose counter moves; one that died without a word doesn't."""
    target = relayctl.folder / "saved.tar"
    relayctl.does("db", "backup", target)
    db = database(relayctl)
    with db.write() as connection:
        connection.execute(insert(nodes).values(name="n7", instance="i", counter=7, heartbeat_at=2.0, **SILENT))
    dead = threading.Event()

    def live() -> None:
        while not dead.wait(0.2):
            with db.write() as connection:
                connection.execute(update(nodes).values(counter=nodes.c.counter + 1))

    node = threading.Thread(target=live)
    node.start()
    try:
        said = relayctl.refuses("db", "restore", target, "--force", "--yes")
    finally:
        dead.set()
        node.join()
    assert said.startswith("node n7 runs on PostgreSQL database ")
    db.close()
    relayctl.does("db", "restore", target, "--force", "--yes")


def test_programs_that_are_missing_or_too_old_are_named(
    relayctl: Relayctl, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With the package to install."""
    monkeypatch.setattr(programs, "_PACKAGES", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    target = relayctl.folder / "saved.tar"
    assert relayctl.refuses("db", "backup", target) == "needs pg_dump, of Debian's package postgresql-client"
    old = tmp_path / "pg_dump"
    old.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.24'\n")
    old.chmod(old.stat().st_mode | stat.S_IXUSR)
    assert f"{old} is of version 9, and the server of version" in relayctl.refuses("db", "backup", target)
    assert not target.exists()


def spy(folder: Path, does: str, name: str = "pg_dump") -> dict[str, str]:
    """A program that is newer than any, as part of the environment."""
    program = folder / name
    program.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo "{name} (PostgreSQL) 99.1" && exit\n{does}\n')
    program.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def test_a_password_is_on_no_command_line(relayctl: Relayctl, tmp_path: Path) -> None:
    """pg_dump has it from its environment, where other users can't read it."""
    (real,) = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_dump"))[-1:]
    env = spy(tmp_path, f'echo "$@" >{tmp_path}/argv; env >{tmp_path}/env; exec {real} "$@"')
    before = relayctl.config.read_text()
    relayctl.config.write_text(before.replace("://relay@", "://relay:se%20cret@"))
    saved = relayctl.process("db", "backup", str(relayctl.folder / "saved.tar"), env=env)
    assert saved.returncode == 0, saved.stderr
    assert "cret" not in (tmp_path / "argv").read_text()
    assert "PGPASSWORD=se cret\n" in (tmp_path / "env").read_text()


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda sent: sent.name)
def test_an_end_in_the_middle_ends_the_dump_too(relayctl: Relayctl, tmp_path: Path, sent: int) -> None:
    """pg_dump doesn't go on alone; and nothing is left where that is still ours to see to."""
    env = spy(tmp_path, f"echo $$ >{tmp_path}/pid; exec sleep 60")
    argv = relayctl.argv("db", "backup", str(relayctl.folder / "saved.tar"))
    with subprocess.Popen(argv, env={**os.environ, **env}, stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
        process.send_signal(sent)
        told = process.communicate()[1].strip()
    wait_until(lambda: _ended((tmp_path / "pid").read_text().strip()))
    if sent != signal.SIGKILL:
        assert told == "relayctl: stopped"
        assert {path.name for path in relayctl.folder.iterdir()} == {"relay.toml"}


def _ended(process: str) -> bool:
    """Whether it is gone, or waits for nothing but somebody who asks how it ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_backup_of_the_other_engine_is_refused(relayctl: Relayctl, tmp_path: Path) -> None:
    """Each says which one it is of."""
    target = relayctl.folder / "saved.tar"
    relayctl.does("db", "backup", target)
    (tmp_path / "file").mkdir()
    (tmp_path / "file" / "relay.toml").write_text(SETTINGS)
    other = Relayctl(tmp_path / "file")
    said = other.refuses("db", "restore", target)
    assert said == f"{target}: it is of a PostgreSQL database, and {other.folder}/relay.db is none"
